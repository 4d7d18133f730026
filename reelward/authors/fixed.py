"""The author that changes nothing: the parent's reward as it stands, another training a candidate."""

from __future__ import annotations

from reelward.authors.base import Brief
from reelward.records import Candidate, Proposal


def propose(brief: Brief) -> Proposal:
    first = 10 * (brief.feedback.number + 1)
    candidates = tuple(
        Candidate(
            name=f"c{i}",
            source=brief.parent,
            start="scratch",
            seed=first + i,
            note="the reward as it stands",
        )
        for i in range(brief.count)
    )
    return Proposal(author="fixed", candidates=candidates)
