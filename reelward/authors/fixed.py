"""The author that changes nothing: each candidate is another training of the parent's reward."""

from __future__ import annotations

from reelward.authors.base import Brief
from reelward.records import Candidate, Proposal


def propose(brief: Brief) -> Proposal:
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
