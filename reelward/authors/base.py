"""What an author is given and what it returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from reelward.language.native import Settings
from reelward.motion.record import Motion
from reelward.records import Candidate, Criteria, Evidence, Feedback, ModelSettings, Proposal
from reelward.sim.robot import AnyRobot

STOCK_SEED = "49eb1a77cec18a7b38393724440b12ae9f94833d9c766c40f1741587e7d3a302"
"""SHA-256 of rewards/seed/selected.py as reelward brings it"""


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


def own_reward(brief: Brief) -> Candidate | None:
    """In the first iteration the reward that the study starts from, as it stands; None later, and where
    it is the one that reelward brings."""
    stock = hashlib.sha256(brief.parent.encode()).hexdigest() == STOCK_SEED
    if stock or not brief.parent.strip() or not brief.feedback.first:
        return None
    note = "the reward that the study starts from"
    return Candidate(name="c0", source=brief.parent, start="scratch", number=0, note=note)


class Author(Protocol):
    """Writes candidate rewards."""

    def propose(self, brief: Brief) -> Proposal:
        """Candidates, each whole or with the error that prevented it. Raises InputError."""
        ...
