"""The author that changes nothing: each candidate is another training of the parent's reward."""

from __future__ import annotations

from reelward.authors.base import Brief
from reelward.language import RewardError, compile_reward, native_terms
from reelward.records import Candidate, Proposal
from reelward.runtime.errors import InputError


def propose(brief: Brief) -> Proposal:
    """The same reward `brief.count` times. Raises InputError where it does not fit the robot: no other
    candidate could be trained in its place."""
    native = native_terms(brief.native)
    try:
        compile_reward(brief.parent, brief.robot.fields, native=native)
    except RewardError as e:
        first = e.errors[0]
        raise InputError(
            f"the reward does not fit {brief.robot.name}: line {first.line}: {first.message}; "
            "edit the study's first reward, rewards/seed/selected.py"
        ) from None
    candidates = tuple(
        Candidate(
            name=f"c{i}",
            source=brief.parent,
            start="scratch",
            number=i,
            note="the reward as it stands",
        )
        for i in range(brief.count)
    )
    return Proposal(author="fixed", candidates=candidates)
