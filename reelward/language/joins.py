"""How the two branches of an `if` over tensors become one: each value is picked per environment.

Both branches run, each on a copy of all names and of the lists and dicts they reach. Afterwards what the
copies of a list or dict became is merged into the original, so that every name that holds it sees the
result. Which copies belong to which original is known by identity alone, hence the keys `id(...)` here.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from reelward.language.builder import PYTHON_ERRORS, Builder
from reelward.language.errors import Fail
from reelward.language.graph import Tensor
from reelward.language.values import POISON, Function, Half, Scope, describe


class End(Enum):
    """How a block ends when it returns no value."""

    FALLS_THROUGH = auto()
    REST_DONE = auto()
    """a branch ran the statements that follow its `if` too, and none of them returned"""
    BREAK = auto()
    CONTINUE = auto()


@dataclass
class Branch:
    """One branch of an `if`: its own copy of the names, and how it ended."""

    scope: Scope
    copies: dict[int, Any]
    """id of an original list or dict -> this branch's copy of it"""
    end: Any = None
    """what it returned, or an End"""


def branch(scope: Scope, originals: Sequence[Any]) -> Branch:
    """A copy of `scope` in which a branch may change whatever it likes."""
    memo: dict[int, Any] = {}
    copied = copy.deepcopy(scope, memo)
    return Branch(copied, {id(v): memo[id(v)] for v in originals if id(v) in memo})


def reachable(scope: Scope) -> list[Any]:
    """Every value that a copy of the scope copies with it."""
    seen: dict[int, Any] = {}
    pending: list[Any] = [scope]
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, Scope) and not value.shared:
            pending += [value.parent, *value.names.values()]
        elif isinstance(value, (tuple, list)):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, Function):
            pending.append(value.scope)
    return list(seen.values())


class Join:
    """Picks, where `test` holds, the values of the first branch, else those of the second."""

    def __init__(
        self, builder: Builder, test: Any, originals: Sequence[Any] = (),
        branches: Sequence[Branch] = (),
    ) -> None:  # fmt: skip
        self.builder, self.test, self.branches = builder, test, branches
        self.origins = {
            id(b.copies[id(v)]): v for v in originals for b in branches if id(v) in b.copies
        }
        """id of a copy -> its original"""

    def pick(self, a: Any, b: Any) -> Any:
        """`a` where the test holds, else `b`, for values of one kind. Raises Fail for others."""
        self.builder.spend()
        if a is b or type(a) is type(b) and isinstance(a, (bool, int, float, str)) and a == b:
            return a
        origin = self.origins.get(id(a))
        if origin is not None and origin is self.origins.get(id(b)):
            return origin
        if POISON in (self.test, a, b):
            return POISON
        if isinstance(a, (Tensor, int, float)) and isinstance(b, (Tensor, int, float)):
            return self.builder.op("where", self.builder.mask(self.test), a, b)
        if isinstance(a, (tuple, list)) and type(a) is type(b) and len(a) == len(b):
            return type(a)(self.pick(x, y) for x, y in zip(a, b, strict=True))
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            return {k: self.pick(a[k], b[k]) for k in a}
        raise Fail(
            "E_STATIC",
            f"{describe(a)} and {describe(b)} cannot be chosen per environment",
            "give both branches the same names and kinds",
        )

    def merge(self, scope: Scope, line: int) -> Any:
        """Merges lists, dicts and the names of `scope`; gives how the `if` at `line` ended."""
        first, second = self.branches
        for one, other in zip(first.copies.values(), second.copies.values(), strict=True):
            original = self.origins[id(one)]
            if type(original) is list:
                original[:] = self.pick([*one], [*other])
            elif type(original) is dict:
                merged = self.pick({**one}, {**other})
                original.clear()
                original.update(merged)
        ends = [first.end, second.end]
        if ends == [End.FALLS_THROUGH, End.FALLS_THROUGH]:
            for name in first.scope.names.keys() | second.scope.names.keys():
                scope.names[name] = self._name(name, line)
            return End.FALLS_THROUGH
        if End.FALLS_THROUGH in ends:
            raise Fail(
                "E_FORM",
                "one branch of an `if` over tensors returns, the other does not",
                "return in both branches, or assign in both and return after",
            )
        return self.pick(*ends)

    def _name(self, name: str, line: int) -> Any:
        first, second = self.branches
        try:
            return self.pick(first.scope.names[name], second.scope.names[name])
        except (Fail, *PYTHON_ERRORS):
            return Half(name, line)
