"""The gait clock: a phase that a reward and a policy may follow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class GaitClock:
    """A phase in cycles for each environment, which turns once a period."""

    def __init__(
        self, periods: Sequence[float | None], size: int, dt: float, device: torch.device
    ) -> None:
        """`size` environments for each of `periods` (s). The clock of a period of None stands
        still."""
        ticks = torch.tensor([dt / p if p else 0.0 for p in periods], device=device)
        self.ticks = ticks.repeat_interleave(size)
        """[N] cycles a control step"""
        self.phase = torch.zeros_like(self.ticks)
        """[N] within 0 and 1"""

    def tick(self) -> None:
        self.phase = (self.phase + self.ticks) % 1

    def columns(self, harmonics: Sequence[int]) -> list[Tensor]:
        """The phase as the policy sees it: cosine and sine `[N, 1]` of each harmonic."""
        angle = 2 * math.pi * self.phase[:, None]
        return [f(k * angle) for k in harmonics for f in (torch.cos, torch.sin)]

    @property
    def second_half(self) -> Tensor:
        """Which clocks are in the second half of the cycle, bool `[N, 1]`."""
        return self.phase[:, None] >= 0.5
