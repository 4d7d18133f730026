"""Values of terms that are not finite or huge while a policy trains: masked, counted, reported by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from reelward.language.contract import BOUND
from reelward.language.errors import Diagnostic, RewardError
from reelward.language.reward import Reward

HUGE = 100 * BOUND
"""A term above this teaches nothing, and its square may not be finite."""


class Watch:
    """Counts the values of a reward's terms that are not finite or above `HUGE`."""

    def __init__(self, reward: Reward, limit: float) -> None:
        """`limit`: the share of a term's values, since the last check, that may be so."""
        self.reward, self.limit = reward, limit
        self.seen = 0
        self.bad: torch.Tensor | float = 0.0

    def masked(self, terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The terms `[terms, N]`, values that are not finite or are huge as 0. The count stays on the
        device of the terms, so that nothing waits for it."""
        stacked = torch.stack([terms[name] for name in self.reward.terms])
        finite = stacked.abs() <= HUGE  # false for NaN
        self.bad = self.bad + (~finite).sum(dim=1)
        self.seen += stacked.shape[1]
        return torch.where(finite, stacked, 0.0)

    def check(self) -> None:
        """Raises RewardError that names each term whose share is above the limit, with its line."""
        if not self.seen:
            return
        shares = (torch.as_tensor(self.bad).cpu() / self.seen).tolist()
        self.bad, self.seen = 0.0, 0
        errors = [
            Diagnostic(
                "E_CONTRACT",
                self.reward.lines[name],
                0,
                f"term {name!r} is not finite in {share:.2%} of all steps, or above {HUGE:.0e}",
                "guard divisions, roots and logarithms: torch.clamp(x, min=1e-6)",
            )
            for name, share in zip(self.reward.terms, shares, strict=True)
            if share > self.limit
        ]
        if errors:
            raise RewardError(errors)
