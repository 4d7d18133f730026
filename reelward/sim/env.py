"""N environments of one robot: named fields, observation, gait clock, start states, termination.

Everything is vectorised torch over `[N, ...]`, the same code whatever physics runs below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from reelward.sim.robot import Robot, mirrored
from reelward.sim.spaces import Box, Vector

CONTACT_HEIGHT = 0.003
"""a sole lower than this (m) touches the ground"""
GROUND_GAP = 0.002
"""start states stand this high (m) above the ground"""


class Physics(Protocol):
    """What an environment needs of a simulator; see CpuPhysics."""

    device: torch.device
    everywhere: bool
    """all environments are worked on where only some need it: no list of them is read back"""
    qpos: Tensor
    qvel: Tensor
    ctrl: Tensor
    diverged: Tensor

    def output(self, name: str) -> Tensor: ...
    def step(self, substeps: int) -> None: ...
    def forward(self, rows: Tensor) -> None: ...
    def state(self) -> Tensor: ...
    def load_state(self, state: Tensor, rows: slice = slice(None)) -> None: ...


class State(Mapping[str, Tensor]):
    """The robot's fields, float32 `[N, *shape]`, each computed when it is first read after a step
    and kept until the next."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._now: dict[str, Tensor] = {}
        self._names = tuple(f.name for f in env.robot.fields)
        self._compute: dict[str, Callable[[], Tensor]] = {
            n: getattr(env, f"_{n}") for n in self._names
        }

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._now:
            self._now[name] = self._compute[name]()
        return self._now[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def forget(self) -> None:
        self._now.clear()


class Share(Mapping[str, Tensor]):
    """The fields of some of the environments."""

    def __init__(self, fields: State, rows: slice) -> None:
        self._fields, self._rows = fields, rows

    def __getitem__(self, name: str) -> Tensor:
        return self._fields[name][self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Env:
    """N robots on a flat floor.

    `period` (s) is the gait clock's, None for a clock that stands still; `symmetric` makes the
    policy see only half a gait cycle: in the second half the legs change names in observation and
    action, so that left and right are mirror images by construction. `staggered` ages the first
    episodes at random, so that time limits do not all fall on one step.

    Several seeds, and as many periods, divide the environments into equal shares, each of which
    does what it would do alone.
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
        if symmetric and not (robot.symmetric and robot.planar):
            raise ValueError(f"expected a planar robot with mirrored legs, got {robot.name}")
        self.robot, self.physics, self.device = robot, physics, physics.device
        self.n, self.dt, self.symmetric = len(physics.qpos), robot.dt, symmetric
        self.limit = round(robot.episode_s / robot.dt)
        seeds = [seed] if isinstance(seed, int) else seed
        periods = period if isinstance(period, Sequence) else [period] * len(seeds)
        self.rngs = [torch.Generator(self.device).manual_seed(s) for s in seeds]
        m, size = robot.mj_model, self.n // len(seeds)
        self.shares = [slice(i * size, (i + 1) * size) for i in range(len(seeds))]

        def index(values: Any) -> Tensor:
            return torch.as_tensor(list(values), device=self.device)

        def floats(values: Any) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=self.device)

        self._qpos0 = torch.as_tensor(m.qpos0, dtype=physics.qpos.dtype, device=self.device)
        self._joint_q = index(m.joint(j).qposadr[0] for j in robot.joints.values())
        self._joint_v = index(m.joint(j).dofadr[0] for j in robot.joints.values())
        self._stance_phases = floats([s.phase for s in robot.reset.stances])
        self._stances = torch.zeros(len(robot.reset.stances), m.nq, dtype=self._qpos0.dtype)
        for row, stance in zip(self._stances, robot.reset.stances, strict=True):
            for joint, angle in stance.joints.items():
                row[m.joint(robot.joints[joint]).qposadr[0]] = angle
        self._stances = self._stances.to(self.device)
        self._root = m.body(robot.root).id
        self._root_only = index([self._root])
        self._bodies = index(m.body(b).id for b in robot.bodies.values())
        self._point_body = index(m.body(p[0]).id for p in robot.keypoints.values())
        self._point_at = floats([p[1:] for p in robot.keypoints.values()])
        names, feet = list(robot.keypoints), list(robot.feet.values())
        self._soles = [index(names.index(p) for p in f.points) for f in feet]
        soles = torch.cat(self._soles)
        self._sole_body, self._sole_at = self._point_body[soles], self._point_at[soles]
        self._sole_sizes = [len(f.points) for f in feet]
        self._radius = floats([f.radius for f in feet])
        self._sensors = robot.foot_sensors
        low, high = floats(m.actuator_ctrlrange).T
        self._ctrl_mid, self._ctrl_half = (low + high) / 2, (high - low) / 2
        self._out = {n: physics.output(n) for n in ("xpos", "xmat", "cvel", "subtree_com")}
        self._lazy_out = {
            n: physics.output(n) for n in ("actuator_force", "actuator_velocity", "sensordata")
        }
        self._planar = robot.planar
        self._skip = 1 if self._planar else 2
        self._ticks = floats([robot.dt / p if p else 0.0 for p in periods]).repeat_interleave(size)
        self._mirror(index)

        self.age = torch.zeros(self.n, dtype=torch.long, device=self.device)
        self.phase = torch.zeros(self.n, device=self.device)
        self.action = torch.zeros(self.n, m.nu, device=self.device)
        self.prev_action = torch.zeros_like(self.action)
        self.air = torch.zeros(self.n, len(feet), device=self.device)
        self.contact = torch.zeros_like(self.air)
        self.fields = State(self)
        self.fields_of_shares = (
            [self.fields] if len(seeds) == 1 else [Share(self.fields, rows) for rows in self.shares]
        )
        self._all = index(range(self.n))
        self.reset(torch.ones(self.n, dtype=torch.bool, device=self.device))
        if staggered:
            for rows, rng in zip(self.shares, self.rngs, strict=True):
                self.age[rows].random_(0, self.limit, generator=rng)

    def _mirror(self, index: Callable[[Any], Tensor]) -> None:
        """Permutations that exchange the legs, of the actions and of the observation."""
        r, m = self.robot, self.robot.mj_model
        names, acts = list(r.joints), list(r.actuators)
        self._act_swap = index(
            acts.index(mirrored(a)) if r.symmetric else i for i, a in enumerate(acts)
        )
        q, v = list(range(m.nq)), list(range(m.nv))
        if r.symmetric:
            for name in names:
                a, b = m.joint(r.joints[name]), m.joint(r.joints[mirrored(name)])
                q[a.qposadr[0]], v[a.dofadr[0]] = b.qposadr[0], b.dofadr[0]
        columns = [i - self._skip for i in q[self._skip :]]
        self._obs_swap = index(columns + [len(columns) + i for i in v])

    @property
    def observation_space(self) -> Vector:
        clock = 2 if self.symmetric else 4
        return Vector(len(self._obs_swap) + clock)

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
        obs = torch.cat((self.physics.qpos[:, self._skip :], v), 1).float()
        angle = 2 * math.pi * self.phase[:, None]
        if self.symmetric:
            self._second = self.phase[:, None] >= 0.5
            obs = torch.where(self._second, obs[:, self._obs_swap], obs)
            return torch.cat((obs, torch.cos(2 * angle), torch.sin(2 * angle)), 1)
        clock = [f(k * angle) for k in (1, 2) for f in (torch.cos, torch.sin)]
        return torch.cat((obs, *clock), 1)

    def step(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """One control step of `action [N, A]`, clipped to +-1. Returns (terminated, truncated),
        each bool `[N]`; `fields` then describe the state reached, before any reset."""
        self.prev_action = self.action
        action = action.clamp(-1, 1)
        if self.symmetric:
            action = torch.where(self._second, action[:, self._act_swap], action)
        self.action = action
        self.physics.ctrl.copy_(self._ctrl_mid + self._ctrl_half * action)
        self.physics.step(self.robot.substeps)
        self.fields.forget()
        self.age += 1
        self.phase = (self.phase + self._ticks) % 1
        touching = self.fields["foot_contact"] > 0
        self.air = torch.where(touching, 0.0, self.air + self.dt)
        self.contact = torch.where(touching, self.contact + self.dt, 0.0)
        terminated = ~self._healthy() | self.physics.diverged
        return terminated, (self.age >= self.limit) & ~terminated

    def rows(self, which: Tensor) -> Tensor:
        """Numbers `[M]` of the environments to work on where `which` (bool `[N]`) are meant: only
        those, or all of them on a device that would have to wait for the list."""
        return self._all if self.physics.everywhere else which.nonzero().flatten()

    def reset(self, ended: Tensor) -> None:
        """New start states for the environments `ended` (bool `[N]`)."""
        rows = self.rows(ended)
        if not len(rows):
            return
        if self.physics.everywhere:

            def write(memory: Tensor, new: Tensor | float) -> None:
                chosen = ended.view(-1, *[1] * (memory.ndim - 1))
                memory.copy_(torch.where(chosen, new, memory))

        else:

            def write(memory: Tensor, new: Tensor | float) -> None:
                memory[rows] = new

        q, v, phase = self._starts(len(rows))
        write(self.physics.qpos, q)
        write(self.physics.qvel, v)
        self.physics.forward(rows)
        if self.robot.reset.stances:
            self.fields.forget()
            lowest = self.fields["foot_height"][rows].min(1).values
            z = self.physics.qpos[:, 1 if self._planar else 2]
            write(z, z[rows] - (lowest - GROUND_GAP))
            self.physics.forward(rows)
        for memory in (self.age, self.action, self.prev_action, self.air, self.contact):
            write(memory, 0)
        write(self.phase, torch.where(self._ticks[rows] > 0, phase, 0.0))
        self.fields.forget()

    def _starts(self, m: int) -> tuple[Tensor, Tensor, Tensor]:
        """M start states: `qpos [M, nq]`, `qvel [M, nv]` and the gait clock `[M]`."""
        r = self.robot.reset
        q = self._qpos0.repeat(m, 1)
        q += r.qpos_uniform * (2 * self._uniform(*q.shape) - 1)
        if not self._planar:
            q[:, 3:7] = nn.functional.normalize(q[:, 3:7])
        v = torch.zeros(m, self.physics.qvel.shape[1], dtype=q.dtype, device=self.device)
        v += r.qvel_uniform * (2 * self._uniform(*v.shape) - 1)
        v += r.qvel_normal * self._drawn(torch.randn, *v.shape, dtype=q.dtype)
        v[:, 0] += r.forward[0] + (r.forward[1] - r.forward[0]) * self._uniform(m)
        phase = torch.zeros(m, device=self.device)
        if r.stances:
            choice = self._drawn(partial(torch.randint, len(r.stances)), m)
            q += self._stances[choice]
            phase = self._stance_phases[choice]
        return q, v, phase

    def _uniform(self, *shape: int) -> Tensor:
        return self._drawn(torch.rand, *shape, dtype=self.physics.qpos.dtype)

    def _drawn(self, draw: Callable[..., Tensor], m: int, *shape: int, **options: Any) -> Tensor:
        """Random numbers `[M, *shape]`, of each share's rows from its own generator."""
        size = (m // len(self.rngs), *shape)
        return torch.cat(
            [draw(size, generator=g, device=self.device, **options) for g in self.rngs]
        )

    def _healthy(self) -> Tensor:
        h, ok = self.robot.healthy, torch.isfinite(self.physics.qvel).all(1)
        if h.height:
            z = self.fields["root_pos"][:, 2]
            ok &= (z > h.height[0]) & (z < h.height[1])
        if h.pitch:
            pitch = self.fields["root_rpy"][:, 1]
            ok &= (pitch > h.pitch[0]) & (pitch < h.pitch[1])
        if h.state_limit:
            ok &= (self.physics.qpos[:, 2:].abs() < h.state_limit).all(1)
            ok &= (self.physics.qvel.abs() < h.state_limit).all(1)
        return ok

    # --- exact resume -------------------------------------------------------------------------

    _MEMORY = ("age", "phase", "action", "prev_action", "air", "contact")

    def state_dict(self, share: int = 0) -> dict[str, Tensor]:
        """Everything that the next step of a share depends on."""
        rows = self.shares[share]
        memory = {name: getattr(self, name)[rows].clone() for name in self._MEMORY}
        return memory | {
            "physics": self.physics.state()[rows],
            "rng": self.rngs[share].get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor], share: int = 0) -> None:
        rows = self.shares[share]
        for name in self._MEMORY:
            getattr(self, name)[rows] = state[name].to(self.device)
        self.physics.load_state(state["physics"], rows)
        self.rngs[share].set_state(state["rng"])
        self.fields.forget()

    # --- fields -------------------------------------------------------------------------------

    def _time(self) -> Tensor:
        return self.age.float() * self.dt

    def _phase(self) -> Tensor:
        return self.phase

    def _root_pos(self) -> Tensor:
        return self._out["xpos"][:, self._root].float()

    def _root_vel(self) -> Tensor:
        return self._velocity(self._root_only)[:, 0]

    def _root_mat(self) -> Tensor:
        return self._out["xmat"][:, self._root].float().view(-1, 3, 3)

    def _root_rpy(self) -> Tensor:
        r = self._root_mat()
        roll = torch.atan2(r[:, 2, 1], r[:, 2, 2])
        pitch = torch.atan2(-r[:, 2, 0], torch.hypot(r[:, 2, 1], r[:, 2, 2]))
        yaw = torch.atan2(r[:, 1, 0], r[:, 0, 0])
        return torch.stack((roll, pitch, yaw), 1)

    def _up(self) -> Tensor:
        return self._root_mat()[:, :, 2]

    def _root_angvel(self) -> Tensor:
        return self._out["cvel"][:, self._root, :3].float()

    def _joint_pos(self) -> Tensor:
        return self.physics.qpos[:, self._joint_q].float()

    def _joint_vel(self) -> Tensor:
        return self.physics.qvel[:, self._joint_v].float()

    def _velocity(self, bodies: Tensor) -> Tensor:
        """Velocity of the origins of `bodies [B]` -> `[N, B, 3]`. MuJoCo's cvel holds the angular
        velocity and the linear velocity at the tree's centre of mass."""
        w, v = self._out["cvel"][:, bodies].split(3, -1)
        arm = self._out["xpos"][:, bodies] - self._out["subtree_com"][:, None, self._root]
        return (v + torch.linalg.cross(w, arm)).float()

    def _body_pos(self) -> Tensor:
        return self._out["xpos"][:, self._bodies].float()

    def _body_vel(self) -> Tensor:
        return self._velocity(self._bodies)

    def _arms(self) -> Tensor:
        """From body origins to keypoints, in the world frame `[N, K, 3]`."""
        mat = self._out["xmat"][:, self._point_body].float().view(self.n, -1, 3, 3)
        return (mat * self._point_at[:, None]).sum(-1)

    def _keypoint_pos(self) -> Tensor:
        return self._out["xpos"][:, self._point_body].float() + self._arms()

    def _keypoint_vel(self) -> Tensor:
        w = self._out["cvel"][:, self._point_body, :3].float()
        return self._velocity(self._point_body) + torch.linalg.cross(w, self._arms())

    def _foot_height(self) -> Tensor:
        # Not from keypoint_pos: of all points and axes this needs little, at every step and start.
        tilt = self._out["xmat"].view(self.n, -1, 3, 3)[:, self._sole_body, 2].float()
        z = self._out["xpos"][:, self._sole_body, 2].float() + (tilt * self._sole_at).sum(-1)
        return torch.stack([s.amin(1) for s in z.split(self._sole_sizes, 1)], 1) - self._radius

    def _foot_contact(self) -> Tensor:
        return (self.fields["foot_height"] < CONTACT_HEIGHT).float()

    def _foot_force(self) -> Tensor:
        forces = self._lazy_out["sensordata"].float().unflatten(1, (-1, 3)).norm(dim=-1)
        return torch.stack([forces[:, s].sum(1) for s in self._sensors], 1)

    def _foot_vel(self) -> Tensor:
        v = self.fields["keypoint_vel"]
        return torch.stack([v[:, s].mean(1) for s in self._soles], 1)

    def _air_time(self) -> Tensor:
        return self.air

    def _contact_time(self) -> Tensor:
        return self.contact

    def _action(self) -> Tensor:
        return self.action

    def _prev_action(self) -> Tensor:
        return self.prev_action

    def _power(self) -> Tensor:
        force, velocity = self._lazy_out["actuator_force"], self._lazy_out["actuator_velocity"]
        return (force * velocity).abs().sum(1).float()
