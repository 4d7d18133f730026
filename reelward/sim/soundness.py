"""Whether an MJCF from elsewhere means what reelward takes it to mean.

Every complaint is a line that names the key of robot.yaml or the element of the MJCF, and what mends
it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from reelward.sim.base import ALIGNED, Base, ancestors, base
from reelward.sim.mjcf import GYMNASIUM, Robot
from reelward.sim.parts import Place, mirrored

LEVEL = 0.001
"""the floor's distance from z = 0 at most (m)"""
ASTRAY = 15.0
"""degrees between the root's x axis and the world's at most"""
OFF_SOLE = 0.1
"""leg lengths between a sole and its geoms at most"""
SHORT_LEG, LONG_LEG = 0.05, 1.5
"""of the distance between the farthest keypoints"""
_FLAG = mujoco.mjtDisableBit
_GEOM = mujoco.mjtGeom
_JOINTS = {
    int(mujoco.mjtJoint.mjJNT_FREE): "free joint",
    int(mujoco.mjtJoint.mjJNT_BALL): "ball joint",
}
_FLOOR = '<geom name="floor" type="plane" size="20 20 0.1"/>'


def unsound(robot: Robot) -> list[str]:
    """What of the compiled model would not be what it seems. Raises RobotError where it does not
    compile."""
    m = robot.mj_model
    if lines := _files(robot, robot.path):
        return lines
    root = m.body(robot.root).id
    moves, lines = base(m, root)
    lines += _joints(robot, m) + _actuators(robot, m)
    if lines:
        return lines
    lines += _start(robot, m, moves)
    if robot.symmetric and moves.planar:
        lines += _mirror(robot, m)
    lines += _soles(robot, m) + _leg(robot, m)
    return lines + _ground(robot, m, root, moves)


def _files(robot: Robot, mjcf: Path) -> list[str]:
    """Files of the MJCF that lie outside of the robot's folder."""
    if robot.model.startswith(GYMNASIUM):
        return []
    elements = list(ElementTree.parse(mjcf).iter())
    folders = [e.get(key, "") for e in elements for key in ("meshdir", "texturedir", "assetdir")]
    paths = [mjcf, *(robot.path.parent / f for f in folders if f)]
    lines = []
    for element in elements:
        name = element.get("file")
        if name and element.tag in ("include", "model"):
            paths.append(robot.path.parent / name)
            lines += _files(robot, paths[-1]) if element.tag == "include" else []
        elif name:
            paths.append(robot.path.parent / next(filter(None, folders), "") / name)
    home = robot.folder.resolve()
    lines += [
        f"{mjcf.name}: expected every file inside of {robot.folder}, the folder that DVC watches; {path} "
        "is not: copy it there"
        for path in paths
        if not path.resolve().is_relative_to(home)
    ]
    return list(dict.fromkeys(lines))


# --- joints and actuators ---------------------------------------------------------------------


def _joints(robot: Robot, m: mujoco.MjModel) -> list[str]:
    return [
        f"joints.{ours}: {name!r} is a {_JOINTS[kind]}; expected a hinge or a slide"
        + (", or a ball joint made of three hinges" if "ball" in _JOINTS[kind] else "")
        for ours, name in robot.joints.items()
        if (kind := int(m.joint(name).type[0])) in _JOINTS
    ]


def _actuators(robot: Robot, m: mujoco.MjModel) -> list[str]:
    if not m.nu:
        return [
            'the model has no actuator; add one a joint: <actuator><motor joint="..."/></actuator>'
        ]
    lines, driven, strange, idle, unlimited = [], [], [], [], defaultdict(list)
    elsewhere: list[str] = []
    ours = {theirs: name for name, theirs in robot.joints.items()}
    for i in range(m.nu):
        drives_joint = m.actuator_trntype[i] == mujoco.mjtTrn.mjTRN_JOINT
        joint = m.joint(m.actuator_trnid[i, 0]).name if drives_joint else f"number {i}"
        name = m.actuator(i).name or joint
        if not drives_joint:
            elsewhere.append(repr(name))
            continue
        if joint in driven:
            lines.append(
                f"expected one actuator a joint; {joint!r} has several; keep one in the MJCF"
            )
        elif joint not in ours:
            strange.append(joint)
        driven.append(joint)
        if not m.actuator_ctrllimited[i] or not np.isfinite(m.actuator_ctrlrange[i]).all():
            motor = m.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE
            unlimited['ctrlrange="-1 1"' if motor else 'inheritrange="1"'].append(repr(name))
        if m.opt.disableactuator & 1 << int(m.actuator_group[i]):
            idle.append(repr(name))
    if elsewhere:
        lines.append(
            f"expected actuators that drive joints; of the model's, {_list(elsewhere)} drive tendons, "
            'sites or bodies; put motors of joints in their place: <motor joint="..." gear="..." '
            'ctrlrange="-1 1"/>'
        )
    if idle:
        verb = "is" if len(idle) == 1 else "are"
        lines.append(f"{_list(idle)} {verb} off by <option actuatorgroupdisable>; delete that")
    if strange:
        lines.append(
            "joints: expected every joint that has an actuator; not among them: "
            f"{_list(map(repr, strange))}; add NAME: {strange[0]}"
        )
    if m.opt.disableflags & _FLAG.mjDSBL_ACTUATION:
        lines.append('all actuators are off by <flag actuation="disable"/>; delete that')
    return lines + [
        f"no ctrlrange, of which an action is a fraction: actuators {_list(names)}; give each "
        f"{remedy} in the MJCF"
        for remedy, names in unlimited.items()
    ]


def _list(names: Iterable[str]) -> str:
    """At most eight names."""
    first = list(names)
    more = f" and {len(first) - 8} more" if len(first) > 8 else ""
    return ", ".join(first[:8]) + more


# --- start states and the mirror --------------------------------------------------------------


def _start(robot: Robot, m: mujoco.MjModel, moves: Base) -> list[str]:
    lines, reset = [], robot.reset
    if robot.episode_s < m.opt.timestep * robot.substeps:
        lines.append(
            f"episode_s: expected at least one control step of {m.opt.timestep * robot.substeps:g} s, "
            f"got {robot.episode_s:g}"
        )
    if reset.forward != (0, 0) and moves.forward is None:
        lines.append(f"reset.forward: the root {robot.root!r} cannot move along x; delete it")
    if reset.stances and moves.height is None:
        lines.append(
            f"reset.stances: the root {robot.root!r} cannot be put on the ground; delete them"
        )
    postures = [(f"reset.stances[{i}].joints", s.joints) for i, s in enumerate(reset.stances)]
    if robot.actuation.kind == "targets":
        postures.append(("actuation.default", _targets(robot, m)))
    for path, angles in postures:
        for name, angle in angles.items():
            joint = m.joint(robot.joints[name])
            low, high = joint.range
            if m.jnt_limited[joint.id] and not low - 0.01 <= angle <= high + 0.01:
                unit = "m" if joint.type[0] == mujoco.mjtJoint.mjJNT_SLIDE else "rad"
                lines.append(
                    f"{path}.{name}: expected {low:.4g} to {high:.4g} {unit}, the joint's range, got "
                    f"{angle:g}"
                )
    data = _posture(robot, m)
    r, z = data.body(robot.root).xmat.reshape(3, 3), data.body(robot.root).xpos[2]
    yaw = np.degrees(np.arctan2(r[1, 0], r[0, 0]))
    if np.hypot(r[0, 0], r[1, 0]) > 0.5 and abs(yaw) > ASTRAY:
        lines.append(
            f"root: the x axis of {robot.root!r} points {abs(yaw):.0f} degrees away from the world's, where "
            "forward is; turn the body in the MJCF, or name a body whose x axis points forward"
        )
    if reset.stances:
        return lines
    pitch = -np.arctan2(r[2, 0], np.hypot(r[2, 1], r[2, 2]))
    for key, at, unit in (("height", z, "m"), ("pitch", pitch, "rad")):
        span = getattr(robot.healthy, key)
        if span and not span[0] < at < span[1]:
            lines.append(
                f"healthy.{key}: an episode starts at {round(at, 3) + 0.0:g} {unit}, outside of {span[0]:g} "
                f"to {span[1]:g}, and would end at once; widen it, or start elsewhere: reset.keyframe"
            )
    return lines


def _posture(robot: Robot, m: mujoco.MjModel) -> mujoco.MjData:
    """The model at its keyframe, or as the MJCF has it."""
    data, keyframe = mujoco.MjData(m), robot.reset.keyframe
    data.qpos[:] = m.qpos0 if keyframe is None else m.key(keyframe).qpos
    mujoco.mj_kinematics(m, data)
    return data


def _targets(robot: Robot, m: mujoco.MjModel) -> dict[str, float]:
    """The pose of the action zero."""
    ours = {theirs: name for name, theirs in robot.joints.items()}
    middles = m.actuator_ctrlrange.mean(1)
    return {ours[m.joint(m.actuator_trnid[i, 0]).name]: middles[i] for i in range(m.nu)}


def _mirror(robot: Robot, m: mujoco.MjModel) -> list[str]:
    """Pairs of joints that the mirror would exchange wrongly: it changes no sign."""
    data, lines = mujoco.MjData(m), []
    mujoco.mj_kinematics(m, data)
    force = {
        m.joint(m.actuator_trnid[i, 0]).name: (
            m.actuator_gear[i, 0] * m.actuator_ctrlrange[i]
        ).tolist()
        for i in range(m.nu)
    }
    root = m.body(robot.root).id
    for j in range(m.njnt):
        body, name = m.jnt_bodyid[j], m.joint(j).name
        alike = m.body_rootid[body] == m.body_rootid[root] and body not in ancestors(m, root)
        if alike and name not in robot.joints.values():
            lines.append(
                f"symmetric: expected every joint of the legs among `joints`; add NAME: {name}"
            )
    for ours, name in robot.joints.items():
        twin = robot.joints[mirrored(ours)]
        if twin < name:
            continue
        one, other = (data.xaxis[m.joint(j).id] for j in (name, twin))
        if abs(one[1]) < ALIGNED and m.joint(name).type[0] == mujoco.mjtJoint.mjJNT_HINGE:
            lines.append(
                f"symmetric: joint {name!r} does not turn about the y axis; expected that of each "
                "joint, or symmetric: false"
            )
        elif one @ other < ALIGNED or force.get(name) != force.get(twin):
            what = "axes" if one @ other < ALIGNED else "actuators or targets"
            lines.append(
                f"symmetric: joints {name!r} and {twin!r} have different {what}; make them equal, "
                "or say symmetric: false"
            )
    return lines


# --- feet and ground -------------------------------------------------------------------------------


def _soles(robot: Robot, m: mujoco.MjModel) -> list[str]:
    """Feet whose points and radius lie elsewhere than their geoms, of which contact is made."""
    data, lines = _posture(robot, m), []
    for name, foot in robot.feet.items():
        sole = min(_at(data, robot.keypoints[p])[2] for p in foot.points) - foot.radius
        lower = min(_lowest(m, data, m.geom(g).id) for g in foot.geoms) - sole
        if abs(lower) > OFF_SOLE * robot.leg_length_m:
            lines.append(
                f"feet.{name}: the sole (the lowest of its points, less radius {foot.radius:g}) lies "
                f"{100 * abs(lower):.1f} cm {'below' if lower > 0 else 'above'} its geoms; mend radius or "
                "the keypoints"
            )
    return lines


def _leg(robot: Robot, m: mujoco.MjModel) -> list[str]:
    """A leg length that no leg of this body can have: speeds and lengths are compared by it."""
    data = _posture(robot, m)
    points = np.array([_at(data, place) for place in robot.keypoints.values()])
    span = max((float(np.linalg.norm(points - p, axis=1).max()) for p in points), default=0.0)
    if not span or SHORT_LEG * span <= robot.leg_length_m <= LONG_LEG * span:
        return []
    return [
        f"leg_length_m: expected about the length of a leg in m, of a body whose farthest keypoints are "
        f"{span:.2g} m apart, got {robot.leg_length_m:g}"
    ]


def _at(data: mujoco.MjData, keypoint: Place) -> np.ndarray:
    """Place `[3]` of a keypoint in the world (m)."""
    name, *place = keypoint
    body = data.body(name)
    at: np.ndarray = body.xpos + body.xmat.reshape(3, 3) @ np.array(place)
    return at


def _lowest(m: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Height of a geom's lowest point (m)."""
    z, row, size = data.geom_xpos[geom, 2], data.geom_xmat[geom].reshape(3, 3)[2], m.geom_size[geom]
    kind = _GEOM(int(m.geom_type[geom]))
    if kind == _GEOM.mjGEOM_MESH:
        mesh = m.geom_dataid[geom]
        first = m.mesh_vertadr[mesh]
        return float(z + (m.mesh_vert[first : first + m.mesh_vertnum[mesh]] @ row).min())
    deep = {
        _GEOM.mjGEOM_SPHERE: size[0],
        _GEOM.mjGEOM_CAPSULE: size[0] + size[1] * abs(row[2]),
        _GEOM.mjGEOM_CYLINDER: size[0] * np.hypot(row[0], row[1]) + size[1] * abs(row[2]),
        _GEOM.mjGEOM_BOX: size @ np.abs(row),
    }
    return float(z - deep.get(kind, np.linalg.norm(size * row)))


def _ground(robot: Robot, m: mujoco.MjModel, root: int, moves: Base) -> list[str]:
    """What is wrong with the floor: fields measure from z = 0, and feet must touch it."""
    down = m.opt.gravity / (np.linalg.norm(m.opt.gravity) or 1)
    weightless = not down.any() or bool(m.opt.disableflags & _FLAG.mjDSBL_GRAVITY)
    if not weightless and -down[2] < ALIGNED:
        pull = " ".join(f"{x:g}" for x in m.opt.gravity)
        return [f'<option gravity="{pull}">: expected a pull along -z: gravity="0 0 -9.81"']
    feet = [m.geom(name).id for foot in robot.feet.values() for name in foot.geoms]
    own = m.body_rootid == m.body_rootid[root]
    body = m.geom_bodyid
    fixed = [g for g in range(m.ngeom) if m.body_weldid[body[g]] == 0 and g not in feet]
    off = m.opt.disableflags & (_FLAG.mjDSBL_CONTACT | _FLAG.mjDSBL_CONSTRAINT)
    if not feet:
        falls = moves.height is not None and not weightless
        mine = [g for g in range(m.ngeom) if own[body[g]]]
        if falls and (off or not any(_touch(m, a, b) for a in mine for b in fixed)):
            return [
                f"the robot would fall for ever: nothing holds it; add to the worldbody: {_FLOOR}"
            ]
        return []
    if off:
        return [
            'contacts are off by <flag contact="disable"/> or constraint; feet need them: delete that'
        ]
    return _floor(robot, m, root, fixed)


def _floor(robot: Robot, m: mujoco.MjModel, root: int, fixed: list[int]) -> list[str]:
    data = mujoco.MjData(m)
    mujoco.mj_kinematics(m, data)
    lines, floors = [], []
    feet = [m.geom(name).id for foot in robot.feet.values() for name in foot.geoms]
    for g in fixed:
        name = m.geom(g).name or f"number {g}"
        kind, normal, top = m.geom_type[g], data.geom_xmat[g].reshape(3, 3)[2], data.geom_xpos[g, 2]
        if kind == _GEOM.mjGEOM_HFIELD and any(_touch(m, g, f) for f in feet):
            lines.append(
                f"geom {name!r} is a height field; heights of feet are measured from z = 0, so the floor "
                f"must be level; put in its place: {_FLOOR}"
            )
        elif kind == _GEOM.mjGEOM_PLANE and LEVEL < normal[2] < ALIGNED:
            lines.append(f'floor {name!r} slopes; expected it level: euler="0 0 0"')
        elif kind == _GEOM.mjGEOM_PLANE and normal[2] >= ALIGNED:
            floors.append((g, name, top))
        elif kind == _GEOM.mjGEOM_BOX and np.abs(normal).max() >= ALIGNED:
            half = float(np.abs(normal) @ m.geom_size[g])
            reach = np.abs(data.geom_xmat[g].reshape(3, 3)) @ m.geom_size[g]
            apart = np.abs(data.xpos[root] - data.geom_xpos[g])
            if (apart < reach)[:2].all() and top + half < data.xpos[root, 2]:
                floors.append((g, name, top + half))
    if lines:
        return lines
    if not floors:
        return [f"the model has no floor at z = 0; add to its worldbody: {_FLOOR}"]
    _, name, top = max(floors, key=lambda floor: floor[2])
    if abs(top) > LEVEL:
        return [
            f"floor {name!r} is at z = {top:.4g} m; expected z = 0, from where heights of feet are "
            "measured: move it, and the robot with it"
        ]
    level = [g for g, _, z in floors if abs(z) <= LEVEL]
    names = [geom for foot in robot.feet.values() for geom in foot.geoms]
    through = [repr(n) for n in names if not any(_touch(m, m.geom(n).id, g) for g in level)]
    if not through:
        return []
    return [
        f"feet: {', '.join(through)} pass{'es' if len(through) == 1 else ''} through the floor {name!r}: "
        'contype and conaffinity exclude each other, or an <exclude> does; give both contype="1" '
        'conaffinity="1", or name the geoms that touch'
    ]


def _touch(m: mujoco.MjModel, a: int, b: int) -> bool:
    """Whether two geoms can be in contact."""
    pairs = zip(m.pair_geom1, m.pair_geom2, strict=True)
    if any({int(x), int(y)} == {a, b} for x, y in pairs):
        return True
    one, other = sorted((int(m.geom_bodyid[a]), int(m.geom_bodyid[b])))
    if (one << 16) + other in m.exclude_signature:
        return False
    masks = m.geom_contype[a] & m.geom_conaffinity[b] | m.geom_contype[b] & m.geom_conaffinity[a]
    return bool(masks)
