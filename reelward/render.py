"""Pictures of a robot from the side: OpenGL through EGL where it works, else a ray tracer.

Neither needs a display. The ray tracer (mujoco_warp on Warp's CPU device) needs no system package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import mujoco
import numpy as np

from reelward.runtime.errors import InputError, ResourceError
from reelward.runtime.settings import setting
from reelward.sim.mjcf import Robot, compiled

FOVY = 40.0
"""vertical field of view (degrees)"""
MARGIN = 1.08
"""room around the robot, as a factor"""
LAST_GROUP = 2
"""the last group of geoms that is drawn; MJCFs keep what only collides in later ones"""


def _scene(robot: Robot) -> tuple[mujoco.MjModel, str]:
    """The robot's model with a light sky, a plain floor, and a camera on a movable body: the model and
    the name of both."""
    spec = robot.spec()
    skies = [t for t in spec.textures if t.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX]
    if not skies:
        skies = [spec.add_texture(name=_free("sky", spec.textures), width=64, height=384)]
        skies[0].type = mujoco.mjtTexture.mjTEXTURE_SKYBOX
        skies[0].builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    for texture in spec.textures:
        if texture in skies:
            texture.rgb1, texture.rgb2 = (0.96, 0.97, 0.98), (0.86, 0.89, 0.92)
        elif texture.builtin == mujoco.mjtBuiltin.mjBUILTIN_CHECKER:
            texture.rgb1, texture.rgb2 = (0.78, 0.80, 0.82), (0.86, 0.87, 0.88)
    for material in spec.materials:
        material.reflectance = 0.0  # in a reflecting floor, legs appear twice
    for geom in spec.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.rgba = (1, 1, 1, 1)
    everywhere = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    if not any(light.type == everywhere and light.active for light in spec.lights):
        for lamp in spec.lights:
            spec.delete(lamp)  # its cone is small, and a robot walks out of it
        sun = spec.worldbody.add_light(pos=(0, 0, 5), dir=(0.2, 0.4, -1), diffuse=(0.6, 0.6, 0.6))
        sun.type = everywhere
        spec.visual.headlight.ambient = (0.4, 0.4, 0.4)
        spec.visual.headlight.active = 1
    name = _free("side", [*spec.bodies, *spec.cameras])
    rig = spec.worldbody.add_body(name=name, mocap=True)
    camera = rig.add_camera(name=name, fovy=FOVY, pos=[0, 0, 0], xyaxes=[1, 0, 0, 0, 0, 1])
    camera.mode = mujoco.mjtCamLight.mjCAMLIGHT_FIXED  # whatever the defaults of the MJCF say
    camera.proj = mujoco.mjtProjection.mjPROJ_PERSPECTIVE
    model = compiled(spec)
    model.vis.quality.shadowsize = 0  # shadows take nine tenths of the time in software
    _reveal(model)
    return model, name


def _free(name: str, elements: Iterable[Any]) -> str:
    """A name like this one that none of the elements has."""
    taken = {element.name for element in elements}
    return next(n for i in count() if (n := f"reelward {name} {i}") not in taken)


def _reveal(model: mujoco.MjModel) -> None:
    """Draws the geoms of bodies of which nothing would be seen: those whose geoms all are in later
    groups, or transparent. A skin shows its bodies."""
    seen = _visible(model)
    bodies = set(model.geom_bodyid.tolist()) - set(model.geom_bodyid[seen].tolist()) - {0}
    for geom in np.flatnonzero(
        np.isin(model.geom_bodyid, list(bodies - _under_skins(model)))
    ).tolist():
        model.geom_group[geom] = 0
        if _alpha(model, geom) == 0:
            model.geom_matid[geom] = -1
            model.geom_rgba[geom] = (0.6, 0.6, 0.65, 1)


def _alpha(model: mujoco.MjModel, geom: int) -> float:
    material = model.geom_matid[geom]
    rgba = model.geom_rgba[geom] if material < 0 else model.mat_rgba[material]
    return float(min(rgba[3], model.geom_rgba[geom][3]))


def _visible(model: mujoco.MjModel) -> np.ndarray:
    opaque = [_alpha(model, geom) > 0 for geom in range(model.ngeom)]
    return (model.geom_group <= LAST_GROUP) & opaque


def _under_skins(model: mujoco.MjModel) -> set[int]:
    shown = model.skin_group <= LAST_GROUP
    return set(model.skin_bonebodyid.tolist()) if shown.any() else set()


@dataclass(frozen=True)
class Extent:
    """The box around a robot and the place of its root in the world, each `[T, 3]` (m)."""

    low: np.ndarray
    high: np.ndarray
    root: np.ndarray


class Renderer:
    """Pictures uint8 `[height, width, 3]` of one robot; the camera moves along beside its root."""

    def __init__(self, robot: Robot, width: int, height: int) -> None:
        self.robot, self.width, self.height = robot, width, height
        self.distance = robot.camera.distance
        """of the camera from the root (m)"""
        self._model, camera = _scene(robot)
        self._model.vis.global_.offwidth = width
        self._model.vis.global_.offheight = height
        near = self._model.vis.map.znear * self._model.stat.extent
        self._model.vis.map.znear *= min(1, 0.1 * self.distance / near)
        far = self._model.vis.map.zfar * self._model.stat.extent
        self._model.vis.map.zfar *= max(1, 20 * self.distance / far)
        self._data = mujoco.MjData(self._model)
        self._root = self._model.body(robot.root).id
        self._rig = int(self._model.body(camera).mocapid[0])
        own = self._model.body_rootid == self._model.body_rootid[self._root]
        mine = own[self._model.geom_bodyid]
        seen = mine & _visible(self._model)
        self._geoms = np.flatnonzero(seen if seen.any() else mine)
        self.kind, self._draw = _backend(self._model, camera, width, height)

    @property
    def pixels_per_metre(self) -> float:
        """Pixels per metre in the plane of the robot."""
        return self.height / 2 / (self.distance * math.tan(math.radians(FOVY / 2)))

    def extent(self, qpos: np.ndarray) -> Extent:
        """Where the robot is at joint coordinates `qpos [T, nq]`."""
        m, d, shape = self._model, self._data, (len(qpos), 3)
        extent = Extent(np.empty(shape), np.empty(shape), np.empty(shape))
        centre, half = np.split(m.geom_aabb[self._geoms], 2, axis=1)
        for t, coordinates in enumerate(qpos):
            d.qpos[:] = coordinates
            mujoco.mj_kinematics(m, d)
            rotation = d.geom_xmat[self._geoms].reshape(-1, 3, 3)
            middle = d.geom_xpos[self._geoms] + (rotation @ centre[..., None])[..., 0]
            reach = (np.abs(rotation) @ half[..., None])[..., 0]
            extent.root[t] = root = d.xpos[self._root]
            extent.low[t] = (middle - reach).min(0) if len(middle) else root
            extent.high[t] = (middle + reach).max(0) if len(middle) else root
        return extent

    def fit(self, extent: Extent) -> None:
        """Moves the camera back until pictures show the whole robot."""
        aim = extent.root.copy()
        aim[:, 2] = self.robot.camera.height
        around = np.maximum(np.abs(extent.low - aim), np.abs(extent.high - aim))
        needed = np.maximum(around[:, 0] * self.height / self.width, around[:, 2])
        nearest = (extent.root - extent.low)[:, 1]
        distances = MARGIN * needed / math.tan(math.radians(FOVY / 2)) + nearest
        self.distance = max(self.distance, float(distances.max()))

    def frame(self, qpos: np.ndarray) -> np.ndarray:
        """The picture of joint coordinates `qpos [nq]`."""
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        x, y = self._data.xpos[self._root, :2]
        self._data.mocap_pos[self._rig] = (x, y - self.distance, self.robot.camera.height)
        mujoco.mj_forward(self._model, self._data)
        return self._draw(self._data)


Draw = Callable[[mujoco.MjData], np.ndarray]


def _backend(model: mujoco.MjModel, camera: str, width: int, height: int) -> tuple[str, Draw]:
    wanted = setting("renderer", "auto")
    if wanted not in ("auto", "egl", "raytracer"):
        raise InputError(f"expected renderer auto, egl or raytracer, got {wanted!r}")
    if wanted != "raytracer":
        try:
            return "egl", _opengl(model, camera, width, height)
        except Exception as e:  # a missing or broken driver raises anything
            if wanted == "egl":
                raise ResourceError(
                    f"expected EGL to work, got: {e}; set renderer to auto or raytracer"
                ) from e
    return "raytracer", _raytracer(model, camera, width, height)


def _opengl(model: mujoco.MjModel, camera: str, width: int, height: int) -> Draw:
    renderer = mujoco.Renderer(model, height, width)

    def draw(data: mujoco.MjData) -> np.ndarray:
        renderer.update_scene(data, camera=camera)
        return renderer.render()

    return draw


def _raytracer(model: mujoco.MjModel, camera: str, width: int, height: int) -> Draw:
    import mujoco_warp as mjw
    import warp as wp

    wp.config.log_level = wp.LOG_ERROR
    wp.init()
    with wp.ScopedDevice("cpu"):
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        device_model, device_data = mjw.put_model(model), mjw.put_data(model, data)
        context = mjw.create_render_context(
            model, 1, cam_res=(width, height), cam_active=[camera], render_rgb=True,
            render_skybox=True, samples_per_pixel=2,
        )  # fmt: skip

    def draw(data: mujoco.MjData) -> np.ndarray:
        with wp.ScopedDevice("cpu"):
            device_data.qpos.assign(data.qpos[None].astype(np.float32))
            device_data.mocap_pos.assign(data.mocap_pos[None].astype(np.float32))
            mjw.kinematics(device_model, device_data)
            mjw.com_pos(device_model, device_data)
            mjw.camlight(device_model, device_data)
            mjw.refit_bvh(device_model, device_data, context)
            mjw.render(device_model, device_data, context)
            packed = context.rgb_data.numpy().reshape(height, width)
        return np.stack([(packed >> s) & 255 for s in (16, 8, 0)], -1).astype(np.uint8)

    return draw


def available() -> str:
    """`egl`, or `raytracer` where OpenGL does not work off-screen."""
    from reelward.sim.robot import load_mjcf

    return Renderer(load_mjcf("biped"), 32, 32).kind
