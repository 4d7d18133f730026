"""How a robot's root moves in the world: the joints between the world and the root's body."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

ALIGNED = 0.999
"""cosine from which two axes count as one"""
_FREE, _SLIDE, _HINGE = (
    int(getattr(mujoco.mjtJoint, f"mjJNT_{kind}")) for kind in ("FREE", "SLIDE", "HINGE")
)


@dataclass(frozen=True)
class Coordinate:
    """A coordinate along an axis of the world: its column, and 1 or -1 where it counts backwards."""

    column: int
    sign: float


@dataclass(frozen=True)
class Base:
    """The joints of the root that no actuator drives. Columns are those of qpos and, for `forward`,
    of qvel."""

    free: bool
    """it moves in space"""
    planar: bool
    """it slides and turns in the x-z plane"""
    place: tuple[int, ...]
    """where it is on the ground, along x and y: nothing that a policy should see"""
    forward: Coordinate | None
    """its speed along x"""
    height: Coordinate | None
    """its height"""


def base(model: mujoco.MjModel, root: int) -> tuple[Base, list[str]]:
    """The base of the body `root`, and what is wrong with its joints: a line for each."""
    joints: list[int] = []
    for body in ancestors(model, root):
        first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
        joints = [*range(first, first + count), *joints]
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    driven = {
        int(j)
        for j, kind in zip(model.actuator_trnid[:, 0], model.actuator_trntype, strict=True)
        if kind == mujoco.mjtTrn.mjTRN_JOINT
    }
    joints = [j for j in joints if j not in driven]
    if joints and model.jnt_type[joints[0]] == _FREE:
        q, v = int(model.jnt_qposadr[joints[0]]), int(model.jnt_dofadr[joints[0]])
        return Base(True, False, (q, q + 1), Coordinate(v, 1.0), Coordinate(q + 2, 1.0)), []
    axes: dict[int, Coordinate] = {}
    speeds: dict[int, Coordinate] = {}
    lines, turned, turns_in_plane = [], "", True
    for j in joints:
        name, along = model.joint(j).name or f"number {j}", data.xaxis[j]
        if model.jnt_type[j] != _SLIDE:
            turned = turned or name
            turns_in_plane &= bool(model.jnt_type[j] == _HINGE and abs(along[1]) > ALIGNED)
            continue
        axis = int(np.argmax(np.abs(along)))
        if abs(along[axis]) < ALIGNED or axis in axes or turned:
            why = (
                f"and comes after {turned!r}, which turns it" if turned
                else "as another of its joints does" if axis in axes
                else "which is oblique"
            )  # fmt: skip
            vector = " ".join(f"{x:.3g}" for x in along)
            lines.append(
                f"root: its joint {name!r} slides along ({vector}), {why}; expected a free joint, or "
                'slides along x, y and z before the hinges: axis="1 0 0", axis="0 0 1"'
            )
            continue
        sign = float(np.sign(along[axis]))
        axes[axis] = Coordinate(int(model.jnt_qposadr[j]), sign)
        speeds[axis] = Coordinate(int(model.jnt_dofadr[j]), sign)
    planar = bool(axes) and 1 not in axes and turns_in_plane
    place = tuple(sorted(axes[a].column for a in (0, 1) if a in axes))
    return Base(False, planar, place, speeds.get(0), axes.get(2)), lines


def ancestors(model: mujoco.MjModel, body: int) -> list[int]:
    """The body and those that carry it, from it to the world, without the world."""
    bodies = []
    while body:
        bodies.append(body)
        body = int(model.body_parentid[body])
    return bodies
