"""Critics: they compare rollouts with the expert. `critic` is the only registry."""

from __future__ import annotations

from reelward.critics import measured, person
from reelward.critics.base import Critic
from reelward.records import CriticKind


def critic(kind: CriticKind) -> Critic:
    """The critic of this kind."""
    if kind == "vlm":
        from reelward.critics import vlm  # here, because the client of its server is slow to load

        return vlm
    return {"measured": measured, "person": person}[kind]
