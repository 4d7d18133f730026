"""Start states: noise around the model's posture or around one of several stances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import mujoco
import torch
from torch import Tensor, nn

from reelward.sim.mjcf import Robot


class StartStates:
    """Draws the start states that a robot's YAML describes.

    Each share of the environments has a generator of its own, so that it starts as it would alone.
    """

    def __init__(self, robot: Robot, rngs: Sequence[torch.Generator], dtype: torch.dtype) -> None:
        m, stances = robot.mj_model, robot.reset.stances
        self._reset, self._forward, self._nv = robot.reset, robot.base.forward, m.nv
        self._rngs, self._device = rngs, rngs[0].device
        self._posture = torch.as_tensor(robot.posture, dtype=dtype, device=self._device)
        turns = {int(mujoco.mjtJoint.mjJNT_FREE): 3, int(mujoco.mjtJoint.mjJNT_BALL): 0}
        self._quaternions = [
            slice(first := int(m.jnt_qposadr[j]) + turns[kind], first + 4)
            for j, kind in enumerate(m.jnt_type.tolist()) if kind in turns
        ]  # fmt: skip
        self._phases = torch.tensor([s.phase for s in stances], device=self._device)
        angles = torch.zeros(len(stances), m.nq, dtype=dtype)
        for row, stance in zip(angles, stances, strict=True):
            for joint, angle in stance.joints.items():
                column = m.joint(robot.joints[joint]).qposadr[0]
                row[column] = angle - robot.posture[column]
        self._stances = angles.to(self._device)

    def draw(self, counts: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """`counts` start states of each share, M in all -> qpos `[M, nq]`, qvel `[M, nv]`, gait
        phase `[M]`."""
        r, m = self._reset, sum(counts)
        q = self._posture.repeat(m, 1)
        q += r.qpos_uniform * (2 * self._uniform(counts, *q.shape[1:]) - 1)
        for columns in self._quaternions:
            q[:, columns] = nn.functional.normalize(q[:, columns])
        v = torch.zeros(m, self._nv, dtype=q.dtype, device=self._device)
        v += r.qvel_uniform * (2 * self._uniform(counts, *v.shape[1:]) - 1)
        v += r.qvel_normal * self._drawn(torch.randn, counts, *v.shape[1:], dtype=q.dtype)
        speed = r.forward[0] + (r.forward[1] - r.forward[0]) * self._uniform(counts)
        if self._forward:
            v[:, self._forward.column] += self._forward.sign * speed
        phase = torch.zeros(m, device=self._device)
        if r.stances:
            choice = self._drawn(partial(torch.randint, len(r.stances)), counts)
            q += self._stances[choice]
            phase = self._phases[choice]
        return q, v, phase

    def _uniform(self, counts: Sequence[int], *shape: int) -> Tensor:
        return self._drawn(torch.rand, counts, *shape, dtype=self._posture.dtype)

    def _drawn(
        self, draw: Callable[..., Tensor], counts: Sequence[int], *shape: int, **options: Any
    ) -> Tensor:
        """Random numbers `[M, *shape]`, those of each share from its own generator."""
        return torch.cat([
            draw((count, *shape), generator=rng, device=self._device, **options)
            for count, rng in zip(counts, self._rngs, strict=True)
        ])  # fmt: skip
