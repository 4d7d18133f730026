"""Values that are not finite, while a policy trains: masked at once, counted, reported by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from reelward.language.errors import Diagnostic, RewardError
from reelward.language.reward import Reward


class Watch:
    """Sums the terms of a reward; a term that is not finite counts 0 for that environment."""

    def __init__(self, reward: Reward, limit: float = 1e-3) -> None:
        """`limit`: the share of a term's values, since the last check, that may be not finite."""
        self.reward, self.limit = reward, limit
        self.seen = 0
        self.bad: torch.Tensor | None = None

    def total(self, terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The reward [N]. Counts on the terms' own device, without waiting for it."""
        stacked = torch.stack([terms[name] for name in self.reward.terms])
        wild = ~torch.isfinite(stacked)
        self.bad = wild.sum(dim=1) if self.bad is None else self.bad + wild.sum(dim=1)
        self.seen += stacked.shape[1]
        return torch.where(wild, 0.0, stacked).sum(dim=0)

    def check(self) -> dict[str, float]:
        """Share of masked values of each term since the last check; call it every few steps.

        Raises RewardError with the term's name and line when a share is above the limit.
        """
        if self.bad is None:
            return {}
        shares = (self.bad.cpu() / self.seen).tolist()
        self.bad, self.seen = None, 0
        rates = dict(zip(self.reward.terms, shares, strict=True))
        wild = [
            Diagnostic(
                "E_CONTRACT",
                self.reward.lines[name],
                0,
                f"term {name!r} is not finite in {rate:.2%} of all steps",
                "guard divisions, roots and logarithms: torch.clamp(x, min=1e-6)",
            )
            for name, rate in rates.items()
            if rate > self.limit
        ]
        if wild:
            raise RewardError(wild)
        return rates
