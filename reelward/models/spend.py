"""What the models may cost: every attempt is written down before it is made.

The log only grows. An attempt first takes the most it can cost; what came back then says what it
did cost. One that never came back keeps the most, so a kill or a restart spends nothing twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reelward.runtime.errors import InputError, ResourceError
from reelward.runtime.settings import setting
from reelward.runtime.validation import expected, shown

LIMITS = ("calls", "tokens", "money")


@dataclass(frozen=True)
class Budget:
    """Limits over all that the log holds, None for no limit; `prices`: money for a million tokens,
    in and out, by the model's name."""

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None
    prices: Mapping[str, tuple[float, float]] | None = None

    @classmethod
    def given(cls) -> Budget:
        """From local.yaml or REELWARD_BUDGET_CALLS, ..., REELWARD_PRICES (JSON)."""
        kinds = {"calls": int, "tokens": int, "money": float}
        values = {name: _read(f"budget_{name}", kind) for name, kind in kinds.items()}
        return cls(**values, prices=_read("prices", dict[str, tuple[float, float]]))

    def cost(self, model: str, tokens: tuple[int, int]) -> float | None:
        """In the money of the prices; None for a model without a price."""
        if model not in (self.prices or {}):
            return None
        return sum(n * p / 1e6 for n, p in zip(tokens, (self.prices or {})[model], strict=True))


def _read(name: str, kind: Any) -> Any:
    value = setting(name)
    if value is None:
        return None
    try:
        text = value if isinstance(value, str) else json.dumps(value)
        return TypeAdapter(kind).validate_json(text)
    except (ValidationError, ValueError, TypeError):
        like = '{"MODEL": [2.5, 10]}, money for a million tokens in and out'
        wanted = like if name == "prices" else expected(kind)
        raise InputError(
            f"{name} = {shown(value)} (REELWARD_{name.upper()} or local.yaml): expected {wanted}"
        ) from None


class Spend:
    """The log at `path`, held against a budget."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path, self.budget = path, budget

    def spent(self) -> dict[str, float]:
        """Calls, tokens and money so far."""
        last: dict[str, dict[str, Any]] = {}
        for line in self.path.read_text().splitlines() if self.path.is_file() else ():
            try:
                entry = json.loads(line)
                last[entry["attempt"]] = entry
            except (ValueError, KeyError, TypeError):
                continue  # a blank line, or one that a kill cut short
        entries = last.values()
        return {
            "calls": len(entries),
            "tokens": sum(sum(e["tokens"]) for e in entries),
            "money": sum(e["money"] or 0.0 for e in entries),
        }

    def take(self, call: str, model: str, most: tuple[int, int]) -> str:
        """Write down an attempt at `call` that costs at most `most` tokens in and out -> its name.
        Raises ResourceError when that would cross a limit."""
        cost = self.budget.cost(model, most)
        if self.budget.money is not None and cost is None:
            raise InputError(
                f"budget_money needs the price of {model}; in local.yaml: "
                f"prices: {{{model}: [IN, OUT]}}, for a million tokens"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            before = self.spent()
            for name, more in zip(LIMITS, (1, sum(most), cost or 0.0), strict=True):
                limit = getattr(self.budget, name)
                if limit is not None and before[name] + more > limit:
                    raise ResourceError(
                        f"budget_{name}: {before[name]:g} of {limit:g} spent, and the next call "
                        f"may take {more:g}; raise it in local.yaml or REELWARD_BUDGET_"
                        f"{name.upper()} and run the same again: no answer is paid for twice"
                    )
            attempt = os.urandom(8).hex()
            self._write({"attempt": attempt, "call": call, "model": model, "tokens": most})
            return attempt

    def settle(self, attempt: str, call: str, model: str, tokens: tuple[int, int]) -> None:
        """What the attempt did cost."""
        self._write({"attempt": attempt, "call": call, "model": model, "tokens": tokens})

    def _write(self, entry: dict[str, Any]) -> None:
        money = self.budget.cost(entry["model"], entry["tokens"])
        line = json.dumps(entry | {"money": money, "at": round(time.time(), 1)})
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(fd, f"\n{line}".encode())
            os.fsync(fd)
        finally:
            os.close(fd)
