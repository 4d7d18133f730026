"""The fields of a robot that has an MJCF: each with its shape, unit, meaning and computation.

A new field is a new function here; `Robot.fields`, the reward language and the prompts then have it.
The functions call methods of tensors, so that this module loads without torch: the list of fields is
printed without waiting for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reelward.sim.field import Field

if TYPE_CHECKING:
    from torch import Tensor

    from reelward.sim.clock import GaitClock

CONTACT_HEIGHT = 0.003
"""a sole lower than this (m) touches the ground"""

Part = Literal["joints", "bodies", "keypoints", "feet", "actuators"]
"""a dimension with as many entries as the robot has of these parts"""


@dataclass
class Tensors:
    """The tensors of N simulations of one robot, from which its fields are computed.

    The arrays of the simulator are live views, float64 on the CPU and float32 on a GPU.
    """

    n: int
    """number of environments"""
    dt: float
    """control step (s)"""
    fields: Mapping[str, Tensor]
    """the fields themselves, each computed once a step: one may be computed from another"""

    # Arrays of the simulator, as in mjData.
    qpos: Tensor
    qvel: Tensor
    xpos: Tensor
    xmat: Tensor
    cvel: Tensor
    subtree_com: Tensor
    actuator_force: Tensor
    actuator_velocity: Tensor
    sensordata: Tensor

    # What the environment remembers from step to step.
    clock: GaitClock
    age: Tensor
    """[N] steps since the episode began"""
    action: Tensor
    """[N, A] of this step"""
    prev_action: Tensor
    """[N, A] of the step before"""
    air_time: Tensor
    """[N, feet] (s)"""
    contact_time: Tensor
    """[N, feet] (s)"""

    # Where the robot's parts lie in those arrays.
    root: int
    """index of the root body"""
    root_only: Tensor
    """[1] the same"""
    tree: Tensor
    """[all bodies] index of the body with which the kinematic tree of each begins"""
    joint_q: Tensor
    """[joints] columns of qpos"""
    joint_v: Tensor
    """[joints] columns of qvel"""
    bodies: Tensor
    """[bodies] indices"""
    keypoint_body: Tensor
    """[keypoints] indices of the bodies that carry them"""
    keypoint_at: Tensor
    """[keypoints, 3] positions in the frames of those bodies (m)"""
    soles: tuple[Tensor, ...]
    """for each foot, the indices of its keypoints"""
    sole_sizes: list[int]
    """for each foot, how many keypoints it has"""
    sole_body: Tensor
    """[all points of all soles] indices of the bodies that carry them"""
    sole_at: Tensor
    """[all points of all soles, 3] positions in the frames of those bodies (m)"""
    sole_radius: Tensor
    """[feet] thickness of the sole around its points (m)"""
    foot_sensors: tuple[tuple[int, ...], ...]
    """for each foot, the numbers of its contact sensors, three values each"""


@dataclass(frozen=True)
class ComputedField:
    """The description of a field and the function that computes it."""

    name: str
    shape: tuple[int | Part, ...]
    unit: str
    meaning: str
    compute: Callable[[Tensors], Tensor]
    """-> float32 `[N, *shape]`"""

    def of(self, parts: Mapping[Part, tuple[str, ...]]) -> Field:
        """The field of a robot that has these parts, by name."""
        shape = tuple(len(parts[d]) if isinstance(d, str) else d for d in self.shape)
        first = self.shape[0] if self.shape else None
        names = parts[first] if isinstance(first, str) else ()
        return Field(self.name, shape, self.unit, self.meaning, names)


FIELDS: dict[str, ComputedField] = {}
"""every field by name, in the order in which it is listed"""

Compute = Callable[[Tensors], "Tensor"]


def field(shape: tuple[int | Part, ...], unit: str, meaning: str) -> Callable[[Compute], Compute]:
    """Registers a function as the field of the same name."""

    def register(compute: Compute) -> Compute:
        name = compute.__name__
        FIELDS[name] = ComputedField(name, shape, unit, meaning, compute)
        return compute

    return register


def _stack(tensors: Iterable[Tensor]) -> Tensor:
    """Along a new second axis."""
    import torch  # here, because the module must load without it

    return torch.stack(tuple(tensors), 1)


# --- clock and root ---------------------------------------------------------------------------


@field((), "s", "time since the episode began")
def time(t: Tensors) -> Tensor:
    return t.age.float() * t.dt


@field((), "cycles", "gait clock, 0 to 1; at 0 the first foot lands")
def phase(t: Tensors) -> Tensor:
    return t.clock.phase


@field((3,), "m", "root position: x forward, y left, z up")
def root_pos(t: Tensors) -> Tensor:
    return t.xpos[:, t.root].float()


@field((3,), "m/s", "root velocity in the world frame")
def root_vel(t: Tensors) -> Tensor:
    return _velocity(t, t.root_only)[:, 0]


@field((3,), "rad", "roll, pitch, yaw; pitch > 0 leans forward")
def root_rpy(t: Tensors) -> Tensor:
    r = _root_matrix(t)
    roll = r[:, 2, 1].atan2(r[:, 2, 2])
    pitch = (-r[:, 2, 0]).atan2(r[:, 2, 1].hypot(r[:, 2, 2]))
    yaw = r[:, 1, 0].atan2(r[:, 0, 0])
    return _stack((roll, pitch, yaw))


@field((3,), "1", "the root's z axis in the world frame; upright is (0, 0, 1)")
def up(t: Tensors) -> Tensor:
    return _root_matrix(t)[:, :, 2]


@field((3,), "rad/s", "root angular velocity in the world frame")
def root_angvel(t: Tensors) -> Tensor:
    return t.cvel[:, t.root, :3].float()


def _root_matrix(t: Tensors) -> Tensor:
    """Rotation from the root's frame to the world's `[N, 3, 3]`."""
    return t.xmat[:, t.root].float().view(-1, 3, 3)


# --- joints, bodies, keypoints ----------------------------------------------------------------


@field(("joints",), "rad", "joint angles, in the MJCF's signs")
def joint_pos(t: Tensors) -> Tensor:
    return t.qpos[:, t.joint_q].float()


@field(("joints",), "rad/s", "joint velocities")
def joint_vel(t: Tensors) -> Tensor:
    return t.qvel[:, t.joint_v].float()


@field(("bodies", 3), "m", "origins of the bodies in the world frame")
def body_pos(t: Tensors) -> Tensor:
    return t.xpos[:, t.bodies].float()


@field(("bodies", 3), "m/s", "velocities of those origins")
def body_vel(t: Tensors) -> Tensor:
    return _velocity(t, t.bodies)


@field(("keypoints", 3), "m", "anatomical points in the world frame")
def keypoint_pos(t: Tensors) -> Tensor:
    return t.xpos[:, t.keypoint_body].float() + _arms(t)


@field(("keypoints", 3), "m/s", "velocities of those points")
def keypoint_vel(t: Tensors) -> Tensor:
    w = t.cvel[:, t.keypoint_body, :3].float()
    return _velocity(t, t.keypoint_body) + w.cross(_arms(t), dim=-1)


def _velocity(t: Tensors, bodies: Tensor) -> Tensor:
    """Velocity of the origins of `bodies [B]` -> `[N, B, 3]`. MuJoCo's cvel holds the angular
    velocity and the linear velocity at the centre of mass of the body's own tree."""
    w, v = t.cvel[:, bodies].split(3, -1)
    arm = t.xpos[:, bodies] - t.subtree_com[:, t.tree[bodies]]
    return (v + w.cross(arm, dim=-1)).float()


def _arms(t: Tensors) -> Tensor:
    """From body origins to keypoints, in the world frame `[N, K, 3]`."""
    rotation = t.xmat[:, t.keypoint_body].float().view(t.n, -1, 3, 3)
    return (rotation * t.keypoint_at[:, None]).sum(-1)


# --- feet -------------------------------------------------------------------------------------


@field(("feet",), "m", "lowest point of the sole above the ground")
def foot_height(t: Tensors) -> Tensor:
    # Not from keypoint_pos: every step and start needs this, and it takes few points and one axis.
    tilt = t.xmat.view(t.n, -1, 3, 3)[:, t.sole_body, 2].float()
    z = t.xpos[:, t.sole_body, 2].float() + (tilt * t.sole_at).sum(-1)
    return _stack(s.amin(1) for s in z.split(t.sole_sizes, 1)) - t.sole_radius


@field(("feet",), "0 or 1", "the sole is lower than 3 mm")
def foot_contact(t: Tensors) -> Tensor:
    return (t.fields["foot_height"] < CONTACT_HEIGHT).float()


@field(("feet",), "N", "contact force in the last physics step")
def foot_force(t: Tensors) -> Tensor:
    forces = t.sensordata.float().unflatten(1, (-1, 3)).norm(dim=-1)
    return _stack(forces[:, s].sum(1) for s in t.foot_sensors)


@field(("feet", 3), "m/s", "velocity of the middle of the sole")
def foot_vel(t: Tensors) -> Tensor:
    v = t.fields["keypoint_vel"]
    return _stack(v[:, s].mean(1) for s in t.soles)


@field(("feet",), "s", "time since the foot left the ground; 0 in contact")
def air_time(t: Tensors) -> Tensor:
    return t.air_time


@field(("feet",), "s", "time since the foot landed; 0 in the air")
def contact_time(t: Tensors) -> Tensor:
    return t.contact_time


# --- actions ----------------------------------------------------------------------------------


@field(("actuators",), "1", "this step's action, within -1 and 1")
def action(t: Tensors) -> Tensor:
    return t.action


@field(("actuators",), "1", "the action of the step before")
def prev_action(t: Tensors) -> Tensor:
    return t.prev_action


@field((), "W", "sum over actuators of |force x velocity|")
def power(t: Tensors) -> Tensor:
    return (t.actuator_force * t.actuator_velocity).abs().sum(1).float()
