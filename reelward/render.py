"""Pictures of a robot from the side: OpenGL through EGL where it works, else a ray tracer.

Neither needs a display. The ray tracer (mujoco_warp on Warp's CPU device) needs no system package.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mujoco
import numpy as np

from reelward.runtime.errors import InputError, ResourceError
from reelward.runtime.settings import setting
from reelward.sim.mjcf import Robot, compiled

FOVY = 40.0
"""vertical field of view (degrees)"""


def _scene(robot: Robot) -> mujoco.MjModel:
    """The robot's model with a light sky, a plain floor, and a camera on a movable body."""
    spec = robot.spec()
    for texture in spec.textures:
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            texture.rgb1, texture.rgb2 = (0.96, 0.97, 0.98), (0.86, 0.89, 0.92)
        elif texture.builtin == mujoco.mjtBuiltin.mjBUILTIN_CHECKER:
            texture.rgb1, texture.rgb2 = (0.78, 0.80, 0.82), (0.86, 0.87, 0.88)
    for material in spec.materials:
        material.reflectance = 0.0  # in a reflecting floor, legs appear twice
    for geom in spec.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.rgba = (1, 1, 1, 1)
    rig = spec.worldbody.add_body(name="camera rig", mocap=True)
    rig.add_camera(name="side", fovy=FOVY, xyaxes=[1, 0, 0, 0, 0, 1])
    model = compiled(spec)
    model.vis.quality.shadowsize = 0  # shadows take nine tenths of the time in software
    return model


class Renderer:
    """Pictures uint8 `[height, width, 3]` of one robot; the camera moves along beside its root."""

    def __init__(self, robot: Robot, width: int, height: int) -> None:
        self.robot, self.width, self.height = robot, width, height
        self._model = _scene(robot)
        self._model.vis.global_.offwidth = width
        self._model.vis.global_.offheight = height
        self._data = mujoco.MjData(self._model)
        self._root = self._model.body(robot.root).id
        self.kind, self._draw = _backend(self._model, width, height)

    @property
    def pixels_per_metre(self) -> float:
        """Pixels per metre in the plane of the robot."""
        return self.height / 2 / (self.robot.camera.distance * math.tan(math.radians(FOVY / 2)))

    def frame(self, qpos: np.ndarray) -> np.ndarray:
        """The picture of joint coordinates `qpos [nq]`."""
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        x, y = self._data.xpos[self._root, :2]
        camera = self.robot.camera
        self._data.mocap_pos[0] = (x, y - camera.distance, camera.height)
        mujoco.mj_forward(self._model, self._data)
        return self._draw(self._data)


Draw = Callable[[mujoco.MjData], np.ndarray]


def _backend(model: mujoco.MjModel, width: int, height: int) -> tuple[str, Draw]:
    wanted = setting("renderer", "auto")
    if wanted not in ("auto", "egl", "raytracer"):
        raise InputError(f"expected renderer auto, egl or raytracer, got {wanted!r}")
    if wanted != "raytracer":
        try:
            return "egl", _opengl(model, width, height)
        except Exception as e:  # a missing or broken driver raises anything
            if wanted == "egl":
                raise ResourceError(
                    f"expected EGL to work, got: {e}; set renderer to auto or raytracer"
                ) from e
    return "raytracer", _raytracer(model, width, height)


def _opengl(model: mujoco.MjModel, width: int, height: int) -> Draw:
    renderer = mujoco.Renderer(model, height, width)

    def draw(data: mujoco.MjData) -> np.ndarray:
        renderer.update_scene(data, camera="side")
        return renderer.render()

    return draw


def _raytracer(model: mujoco.MjModel, width: int, height: int) -> Draw:
    import mujoco_warp as mjw
    import warp as wp

    wp.config.log_level = wp.LOG_ERROR
    wp.init()
    with wp.ScopedDevice("cpu"):
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        device_model, device_data = mjw.put_model(model), mjw.put_data(model, data)
        context = mjw.create_render_context(
            model, 1, cam_res=(width, height), cam_active=["side"], render_rgb=True,
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
