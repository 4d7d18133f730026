"""What an author is given and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from reelward.language.native import Settings
from reelward.motion.record import Motion
from reelward.records import Criteria, Evidence, Feedback, ModelSettings, Proposal
from reelward.sim.robot import AnyRobot


@dataclass(frozen=True)
class Brief:
    """All that an author may look at."""

    robot: AnyRobot
    expert: Motion
    parent: str
    """Text of the reward to go on from."""
    feedback: Feedback
    """What its training brought."""
    criteria: Criteria
    """What the critic judges by."""
    task: str
    count: int
    """Candidates to write."""
    native: Settings
    """The user's own reward terms."""
    model: ModelSettings
    evidence: Evidence = "critique"
    """What a model learns of the motion."""
    sheets: Mapping[str, bytes] = field(default_factory=dict)
    """Contact sheets (JPEG) for `evidence: sheets`, by what each shows."""


class Author(Protocol):
    """Writes candidate rewards."""

    def propose(self, brief: Brief) -> Proposal:
        """Candidates, each whole or with the error that prevented it. Raises InputError."""
        ...
