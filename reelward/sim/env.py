"""N environments of one robot that has an MJCF: observation, stepping, start states, termination.

Everything is vectorised torch over `[N, ...]`, the same code for physics on the CPU and on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from reelward.sim.clock import GaitClock
from reelward.sim.fields import FIELDS, Tensors
from reelward.sim.mirror import Mirror
from reelward.sim.mjcf import Robot
from reelward.sim.spaces import Box, Vector
from reelward.sim.starts import StartStates
from reelward.sim.state import State, of_shares

GROUND_GAP = 0.002
"""height of start states above the ground (m)"""


class Physics(Protocol):
    """What an environment needs of a simulator; see CpuPhysics."""

    device: torch.device
    everywhere: bool
    """where some environments need work, it is done on all: a list of rows would have to be read
    back from the device"""
    qpos: Tensor
    qvel: Tensor
    act: Tensor
    ctrl: Tensor
    diverged: Tensor

    def output(self, name: str) -> Tensor: ...
    def step(self, substeps: int) -> None: ...
    def forward(self, rows: Tensor) -> None: ...
    def state(self) -> Tensor: ...
    def load_state(self, state: Tensor, rows: slice = slice(None)) -> None: ...


class Env:
    """N robots on a flat floor.

    `period` (s) is the gait clock's, None for a clock that stands still. `symmetric` makes the
    policy see only half a gait cycle: in the second half right and left are exchanged in
    observation and action, so that the two legs do the same by construction. `staggered` gives the
    first episodes random ages, so that their time limits do not fall on one step.

    Several seeds, and as many periods, divide the environments into equal shares. Each share does
    what it would do alone.
    """

    def __init__(
        self,
        robot: Robot,
        physics: Physics,
        *,
        seed: int | Sequence[int],
        period: float | None | Sequence[float | None] = None,
        symmetric: bool = False,
        staggered: bool = False,
    ) -> None:
        if symmetric and not robot.mirrors:
            raise ValueError(f"expected a planar robot with mirrored legs, got {robot.name}")
        self.robot, self.physics, self.device = robot, physics, physics.device
        self.n, self.dt = len(physics.qpos), robot.dt
        self.limit = round(robot.episode_s / robot.dt)
        """steps of an episode"""
        seeds = [seed] if isinstance(seed, int) else seed
        periods = period if isinstance(period, Sequence) else [period] * len(seeds)
        size = self.n // len(seeds)
        self.shares = [slice(i * size, (i + 1) * size) for i in range(len(seeds))]
        self.rngs = [torch.Generator(self.device).manual_seed(s) for s in seeds]
        self.clock = GaitClock(periods, size, robot.dt, self.device)
        self.mirror = Mirror(robot, self.device) if symmetric else None
        low, high = _floats(robot.mj_model.actuator_ctrlrange, self.device).T
        self._ctrl_mid, self._ctrl_half = (low + high) / 2, (high - low) / 2
        self._driven_by = torch.tensor(robot.driven_by, device=self.device)
        self._observed = torch.tensor(robot.observed, device=self.device)
        height = None if robot.base.free or not robot.base.height else robot.base.height.column
        bounded = [i for i in robot.observed if i != height]
        self._bounded = torch.tensor(bounded, device=self.device)
        key = robot.reset.keyframe
        start = np.zeros(robot.mj_model.na) if key is None else robot.mj_model.key(key).act
        self._activations = torch.as_tensor(start, dtype=physics.qpos.dtype, device=self.device)
        self._starts = StartStates(robot, self.rngs, physics.qpos.dtype)

        names = [f.name for f in robot.fields]
        self.fields = State({n: partial(self._computed, n) for n in names})
        self.fields_of_shares = of_shares(self.fields, self.shares)
        self.tensors = _tensors(robot, physics, self.clock, self.fields)
        self._all = torch.arange(self.n, device=self.device)
        self.reset(torch.ones(self.n, dtype=torch.bool, device=self.device))
        if staggered:
            for rows, rng in zip(self.shares, self.rngs, strict=True):
                self.age[rows].random_(0, self.limit, generator=rng)

    def _computed(self, name: str) -> Tensor:
        return FIELDS[name].compute(self.tensors)

    @property
    def age(self) -> Tensor:
        """Steps since the episode began, int64 `[N]`."""
        return self.tensors.age

    @property
    def diverged(self) -> Tensor:
        """Environments whose physics failed in the last step, bool `[N]`."""
        return self.physics.diverged

    @property
    def observation_space(self) -> Vector:
        m, clock = self.robot.mj_model, 4 if self.mirror is None else 2
        return Vector(len(self.robot.observed) + m.nv + clock)

    @property
    def action_space(self) -> Box:
        return Box(self.robot.mj_model.nu)

    # --- stepping -----------------------------------------------------------------------------

    def observe(self) -> Tensor:
        """What the policy sees, float32 `[N, O]`: joint coordinates without the place on the
        ground, velocities, and the gait clock as cosines and sines."""
        v = self.physics.qvel
        if self.robot.velocity_clip is not None:
            v = v.clamp(-self.robot.velocity_clip, self.robot.velocity_clip)
        obs = torch.cat((self.physics.qpos[:, self._observed], v), 1).float()
        if self.mirror is None:
            return torch.cat((obs, *self.clock.columns((1, 2))), 1)
        obs = self.mirror.observations(obs, self.clock.second_half)
        return torch.cat((obs, *self.clock.columns((2,))), 1)

    def step(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """One control step of `action [N, A]`, clipped to +-1. Returns (terminated, truncated),
        each bool `[N]`; `fields` then describe the state reached, before any reset."""
        t = self.tensors
        t.prev_action = t.action
        action = action.clamp(-1, 1)
        if self.mirror is not None:
            action = self.mirror.actions(action, self.clock.second_half)
        t.action = action
        self.physics.ctrl.copy_(self._ctrl_mid + self._ctrl_half * action[:, self._driven_by])
        self.physics.step(self.robot.substeps)
        self.fields.forget()
        t.age += 1
        self.clock.tick()
        if self.robot.feet:
            touching = self.fields["foot_contact"] > 0
            t.air_time = torch.where(touching, 0.0, t.air_time + self.dt)
            t.contact_time = torch.where(touching, t.contact_time + self.dt, 0.0)
        terminated = ~self._healthy() | self.diverged
        return terminated, (t.age >= self.limit) & ~terminated

    def _healthy(self) -> Tensor:
        h, ok = self.robot.healthy, torch.isfinite(self.physics.qvel).all(1)
        if h.height:
            z = self.fields["root_pos"][:, 2]
            ok &= (z > h.height[0]) & (z < h.height[1])
        if h.pitch:
            pitch = self.fields["root_rpy"][:, 1]
            ok &= (pitch > h.pitch[0]) & (pitch < h.pitch[1])
        if h.state_limit:
            ok &= (self.physics.qpos[:, self._bounded].abs() < h.state_limit).all(1)
            ok &= (self.physics.qvel.abs() < h.state_limit).all(1)
        return ok

    # --- starting again -----------------------------------------------------------------------

    def rows(self, which: Tensor) -> Tensor:
        """Indices `[M]` of the environments to work on where `which` (bool `[N]`) are meant: only
        those; or all, where a device would have to wait for the list, or where there are several
        shares, which must stay of equal size."""
        if self.physics.everywhere or len(self.shares) > 1:
            return self._all
        return which.nonzero().flatten()

    def reset(self, ended: Tensor) -> None:
        """New start states for the environments `ended` (bool `[N]`)."""
        everywhere, t = self.physics.everywhere, self.tensors
        rows = self._all if everywhere else ended.nonzero().flatten()
        if not len(rows):
            return

        def write(memory: Tensor, new: Tensor | float) -> None:
            """Values `[len(rows), ...]` into the rows that ended."""
            if everywhere:
                chosen = ended.view(-1, *[1] * (memory.ndim - 1))
                memory.copy_(torch.where(chosen, new, memory))
            else:
                memory[rows] = new

        counts = [s.stop - s.start if everywhere else int(ended[s].sum()) for s in self.shares]
        q, v, phase = self._starts.draw(counts)
        write(self.physics.qpos, q)
        write(self.physics.qvel, v)
        if self.robot.mj_model.na:
            write(self.physics.act, self._activations)
        self.physics.forward(rows)
        if self.robot.reset.stances:
            self.fields.forget()
            lowest = self.fields["foot_height"][rows].min(1).values
            height = self.robot.base.height
            assert height is not None
            z = self.physics.qpos[:, height.column]
            write(z, z[rows] - height.sign * (lowest - GROUND_GAP))
            self.physics.forward(rows)
        for memory in (t.age, t.action, t.prev_action, t.air_time, t.contact_time):
            write(memory, 0)
        write(self.clock.phase, torch.where(self.clock.ticks[rows] > 0, phase, 0.0))
        self.fields.forget()

    # --- exact resume -------------------------------------------------------------------------

    def _memory(self) -> dict[str, Tensor]:
        t = self.tensors
        return {
            "age": t.age, "phase": self.clock.phase, "action": t.action,
            "prev_action": t.prev_action, "air_time": t.air_time, "contact_time": t.contact_time,
        }  # fmt: skip

    def state_dict(self, share: int = 0) -> dict[str, Tensor]:
        """Everything that the next step of a share depends on."""
        rows = self.shares[share]
        return {name: memory[rows].clone() for name, memory in self._memory().items()} | {
            "physics": self.physics.state()[rows],
            "rng": self.rngs[share].get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor], share: int = 0) -> None:
        rows = self.shares[share]
        for name, memory in self._memory().items():
            memory[rows] = state[name].to(self.device)
        self.physics.load_state(state["physics"], rows)
        self.rngs[share].set_state(state["rng"])
        self.fields.forget()


def _floats(values: ArrayLike, device: torch.device) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)


def _tensors(
    robot: Robot, physics: Physics, clock: GaitClock, fields: Mapping[str, Tensor]
) -> Tensors:
    """The live arrays of `physics`, a memory of zeros, and where the robot's parts lie."""
    device, m, n = physics.device, robot.mj_model, len(physics.qpos)
    names, feet = list(robot.keypoints), list(robot.feet.values())
    joints = [m.joint(j) for j in robot.joints.values()]

    def index(values: Iterable[int]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.int64, device=device)

    bodies = index(m.body(point[0]).id for point in robot.keypoints.values())
    places = _floats([point[1:] for point in robot.keypoints.values()], device).view(-1, 3)
    soles = tuple(index(names.index(p) for p in foot.points) for foot in feet)
    on_soles = torch.cat((index([]), *soles))
    root = m.body(robot.root).id
    action, air_time = (torch.zeros(n, size, device=device) for size in (m.nu, len(feet)))
    return Tensors(
        n=n, dt=robot.dt, fields=fields, qpos=physics.qpos, qvel=physics.qvel,
        xpos=physics.output("xpos"), xmat=physics.output("xmat"), cvel=physics.output("cvel"),
        subtree_com=physics.output("subtree_com"),
        actuator_force=physics.output("actuator_force"),
        actuator_velocity=physics.output("actuator_velocity"),
        sensordata=physics.output("sensordata"),
        clock=clock, age=torch.zeros(n, dtype=torch.int64, device=device),
        action=action, prev_action=torch.zeros_like(action),
        air_time=air_time, contact_time=torch.zeros_like(air_time),
        root=root, root_only=index([root]), tree=index(m.body_rootid),
        joint_q=index(j.qposadr[0] for j in joints), joint_v=index(j.dofadr[0] for j in joints),
        bodies=index(m.body(b).id for b in robot.bodies.values()),
        keypoint_body=bodies, keypoint_at=places,
        soles=soles, sole_sizes=[len(s) for s in soles], sole_body=bodies[on_soles], sole_at=places[on_soles],
        sole_radius=_floats([f.radius for f in feet], device), foot_sensors=robot.foot_sensors,
    )  # fmt: skip
