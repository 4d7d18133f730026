"""The exchange of right and left, by which one policy serves both legs."""

from __future__ import annotations

import torch
from torch import Tensor

from reelward.sim.mjcf import Robot
from reelward.sim.parts import mirrored


class Mirror:
    """Exchanges right and left in observations and actions."""

    def __init__(self, robot: Robot, device: torch.device) -> None:
        m, actuators = robot.mj_model, robot.actuators
        q, v = list(range(m.nq)), list(range(m.nv))
        for name in robot.joints:
            a, b = m.joint(robot.joints[name]), m.joint(robot.joints[mirrored(name)])
            q[a.qposadr[0]], v[a.dofadr[0]] = b.qposadr[0], b.dofadr[0]
        seen = [robot.observed.index(q[i]) for i in robot.observed]
        actions = [actuators.index(mirrored(a)) for a in actuators]
        self._actions = torch.tensor(actions, device=device)
        self._observations = torch.tensor(seen + [len(seen) + i for i in v], device=device)

    def observations(self, rows: Tensor, which: Tensor) -> Tensor:
        """`rows [N, nq + nv]` (without the unobserved coordinates), mirrored where `which`."""
        return torch.where(which, rows[:, self._observations], rows)

    def actions(self, rows: Tensor, which: Tensor) -> Tensor:
        """`rows [N, A]`, mirrored where `which`."""
        return torch.where(which, rows[:, self._actions], rows)
