"""What the models may cost. Every attempt is logged before it is made.

The log only grows. An attempt is first logged with the most that it can cost, and again with what
it did cost once that is known. An attempt that was killed keeps the most.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from reelward.records import Record
from reelward.runtime.errors import InputError, ResourceError
from reelward.runtime.settings import setting
from reelward.runtime.validation import expected, shortened


class Usage(NamedTuple):
    """Tokens of one attempt."""

    prompt: int
    completion: int


class Price(NamedTuple):
    """Money for a million tokens."""

    prompt: float
    completion: float


class Spent(NamedTuple):
    calls: int
    tokens: int
    money: float


class Attempt(Record):
    """A line of the log; the last one with the same `attempt` counts."""

    attempt: str
    call: str
    """digest of the request"""
    model: str
    usage: Usage
    money: float | None
    """None if the model has no price"""
    at: float
    """Unix time in s"""


@dataclass(frozen=True)
class Budget:
    """Limits on all that the log holds, None for no limit. `prices` are by the name of the model."""

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)

    @classmethod
    def from_settings(cls) -> Budget:
        """Reads `budget_calls`, `budget_tokens`, `budget_money` and `prices`. Raises InputError."""
        prices = _setting("prices", dict[str, tuple[float, float]]) or {}
        return cls(
            calls=_setting("budget_calls", int),
            tokens=_setting("budget_tokens", int),
            money=_setting("budget_money", float),
            prices={model: Price(*price) for model, price in prices.items()},
        )

    def cost(self, model: str, usage: Usage) -> float | None:
        """In the money of the prices; None for a model without a price."""
        if model not in self.prices:
            return None
        price = self.prices[model]
        return (usage.prompt * price.prompt + usage.completion * price.completion) / 1e6


class SpendLog:
    """The log at `path`, checked against a budget."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path, self.budget = path, budget

    def spent(self) -> Spent:
        """The total so far."""
        attempts: dict[str, Attempt] = {}
        for line in self.path.read_text().split("\n") if self.path.is_file() else ():
            try:
                attempt = Attempt.model_validate_json(line)
            except ValidationError:
                continue  # a blank line, or one that a kill cut short
            attempts[attempt.attempt] = attempt
        return Spent(
            calls=len(attempts),
            tokens=sum(sum(a.usage) for a in attempts.values()),
            money=sum(a.money or 0.0 for a in attempts.values()),
        )

    def begin(self, call: str, model: str, most: Usage) -> Attempt:
        """Log an attempt that takes at most `most` tokens. Raises ResourceError if that would cross
        a limit, InputError if a limit on money needs a price that is not set."""
        cost = self.budget.cost(model, most)
        if self.budget.money is not None and cost is None:
            raise InputError(
                f"budget_money needs the price of {model}; in local.yaml: "
                f"prices: {{{model}: [IN, OUT]}}, for a million tokens"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX)
            spent = self.spent()
            _within("calls", self.budget.calls, spent.calls, 1)
            _within("tokens", self.budget.tokens, spent.tokens, sum(most))
            _within("money", self.budget.money, spent.money, cost or 0.0)
            attempt = Attempt(
                attempt=os.urandom(8).hex(), call=call, model=model, usage=most, money=cost,
                at=round(time.time(), 1),
            )  # fmt: skip
            self._append(attempt)
            return attempt

    def settle(self, attempt: Attempt, usage: Usage) -> None:
        """Log what an attempt did cost."""
        money = self.budget.cost(attempt.model, usage)
        self._append(attempt.model_copy(update={"usage": usage, "money": money}))

    def _append(self, attempt: Attempt) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(fd, f"\n{attempt.model_dump_json()}".encode())
            os.fsync(fd)
        finally:
            os.close(fd)


def _within(name: str, limit: float | None, spent: float, more: float) -> None:
    if limit is not None and spent + more > limit:
        raise ResourceError(
            f"budget_{name}: {spent:g} of {limit:g} spent, and the next call may take {more:g}; "
            f"raise it in local.yaml or REELWARD_BUDGET_{name.upper()} and run the same command "
            "again: no answer is paid for twice"
        )


def _setting(name: str, kind: Any) -> Any:
    """A setting as `kind`, from local.yaml or, as JSON, from the environment."""
    value = setting(name)
    if value is None:
        return None
    try:
        text = value if isinstance(value, str) else json.dumps(value)
        return TypeAdapter(kind).validate_json(text)
    except (ValidationError, ValueError, TypeError):
        example = '{"MODEL": [2.5, 10]}, money for a million tokens in and out'
        wanted = example if name == "prices" else expected(kind)
        raise InputError(
            f"{name} = {shortened(value)} (REELWARD_{name.upper()} or local.yaml): expected {wanted}"
        ) from None
