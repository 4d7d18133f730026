"""The values of the language other than numbers, words, tuples, lists, dicts and `graph.Tensor`."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reelward.language.graph import Tensor, shape_text

Args = Sequence[Any]
"""values of the language, as arguments by place"""
Kwargs = dict[str, Any]
"""values of the language, by name"""


class Scope:
    """Names and their values. Names that are not here are looked up in `parent`.

    A deep copy copies the values too, except where the scope is `shared`, as module and library are.
    """

    def __init__(self, parent: Scope | None = None, shared: bool = False) -> None:
        self.parent, self.shared, self.names = parent, shared, Kwargs()

    def find(self, name: str) -> Scope | None:
        scope: Scope | None = self
        while scope is not None and name not in scope.names:
            scope = scope.parent
        return scope

    def visible(self) -> list[str]:
        """All names that can be read here."""
        return [*self.names, *(self.parent.visible() if self.parent else ())]

    @property
    def root(self) -> Scope:
        return self.parent.root if self.parent else self

    def __deepcopy__(self, memo: dict[int, Any]) -> Scope:
        if self.shared:
            return self
        memo[id(self)] = new = Scope(copy.deepcopy(self.parent, memo))
        new.names = copy.deepcopy(self.names, memo)
        return new


@dataclass(frozen=True, eq=False)
class Function:
    """A function or lambda of the text, inlined where it is called."""

    name: str
    node: ast.FunctionDef | ast.Lambda
    scope: Scope
    defaults: tuple[Any, ...]
    kw_defaults: tuple[Any, ...]
    library: bool

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        scope = copy.deepcopy(self.scope, memo)
        return Function(self.name, self.node, scope, self.defaults, self.kw_defaults, self.library)


class Single:
    """A value without parts, which copies of a scope share."""

    def __deepcopy__(self, memo: object) -> Single:
        return self


@dataclass(frozen=True, eq=False)
class Builtin(Single):
    """A function of the language."""

    name: str
    call: Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Native(Single):
    name: str


@dataclass(frozen=True)
class Module(Single):
    """torch, numpy or math, the prefix of a name."""

    name: str


class State(Single):
    """The argument of `reward`."""


class Count(Single):
    """The number of environments: a size, never a number."""


@dataclass(frozen=True)
class Dtype(Single):
    name: str


class Skipped(Single):
    """A device or a type: accepted, without effect."""


class Poison(Single):
    """The value of an expression that was refused; using it is not reported again."""


@dataclass(frozen=True)
class Half(Single):
    """A name to which the two branches of an `if` over tensors give values of different kinds."""

    name: str
    line: int


class Silent(Exception):
    """A value that was refused is used again; its mistake is reported already."""


class Extreme(NamedTuple):
    """The result of max, min and median along an axis."""

    values: Any
    indices: Any


COUNT, POISON, STATE, SKIPPED = Count(), Poison(), State(), Skipped()


def is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float))


def describe(value: object) -> str:
    """The kind of a value in a few words, for messages."""
    match value:
        case Tensor():
            return f"a tensor {shape_text(value.meta)}" + (
                "" if value.dtype == "float32" else f" of {value.dtype}"
            )
        case None:
            return "None"
        case bool() | int() | float():
            return f"the number {value}"
        case str():
            return f"the word {value[:40]!r}"
        case Extreme():
            return "a pair of values and indices"
        case tuple() | list() | dict():
            return f"a {type(value).__name__} of {len(value)}"
        case Function() | Builtin() | Native():
            return f"the function {value.name}"
        case Module():
            return f"the module {value.name}"
        case State():
            return "the whole state"
        case Count():
            return "the number of environments"
        case _:
            return f"a {type(value).__name__.lower()}"
