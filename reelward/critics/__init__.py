"""Critics: they compare rollouts with the expert. `CRITICS` is the only registry."""

from __future__ import annotations

from reelward.critics import measured, person, vlm
from reelward.critics.base import Critic
from reelward.records import CriticKind

CRITICS: dict[CriticKind, Critic] = {"measured": measured, "vlm": vlm, "person": person}
