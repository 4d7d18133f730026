"""What every part of the compiler shares: the graph, the budget, the mistakes, and checks of values.

The compiler interprets a text abstractly. Numbers, words, lists, dicts, loops and calls are evaluated
while compiling; whatever differs between environments becomes a node of the typed graph. Nothing of the
text is executed, imported, or used to look up an attribute of a Python object.

Its files build on each other in one order: statements, expressions, spellings, then containers, tensors,
operators and joins, then this one.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Sequence
from typing import Any

import torch

from reelward.language.errors import HINTS, Diagnostic, Fail, RewardError
from reelward.language.graph import Graph, Tensor
from reelward.language.ops import OPS
from reelward.language.values import (
    POISON,
    Count,
    Extreme,
    Function,
    Kwargs,
    Scope,
    Silent,
    State,
    describe,
    is_number,
)

MAX_STEPS = 60_000
MAX_LENGTH = 4096
MAX_ERRORS = 20
LARGEST = torch.finfo(torch.float32).max

PYTHON_ERRORS = (TypeError, IndexError, ValueError, KeyError, AttributeError, ZeroDivisionError)
"""what Python raises in the compiler for a call with too few arguments, or of the wrong kind"""


class Builder:
    """Adds nodes to the graph and checks the values that go into them."""

    def __init__(self, graph: Graph, library: Scope, errors: list[Diagnostic]) -> None:
        self.graph, self.library, self.errors = graph, library, errors
        self.steps = self.line = 0
        self.calls: list[tuple[Function, ast.AST]] = []
        """the functions of the text that are being inlined, each with its call, outermost first"""
        self.entries: dict[str, list[tuple[int, int]]] = {}
        """key -> first and last line of each place that puts a value into a dict under that key"""

    # -- budget and mistakes

    def spend(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise OverflowError(f"more than {MAX_STEPS} steps: the loops are too long")

    def report(self, error: Exception, node: ast.AST) -> None:
        """Record a mistake at `node`; one in a library function belongs to the caller."""
        fail = error
        if not isinstance(fail, Fail):
            fail = Fail("E_ARG", "wrong number or kind of arguments or indices")
        self.spend(100)  # the search for a hint is slow
        message = fail.message
        outer = next((i for i, (f, _) in enumerate(self.calls) if f.library), None)
        if outer is not None:
            function, node = self.calls[outer]
            message = f"{function.name}(): {message}"
        line, col = getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1
        diagnostic = Diagnostic(
            fail.code, line, col, message, fail.hint or HINTS.get(fail.code, "")
        )
        if diagnostic not in self.errors:
            self.errors.append(diagnostic)
        if len(self.errors) >= MAX_ERRORS:
            raise RewardError(self.errors)

    @property
    def in_library(self) -> bool:
        return any(function.library for function, _ in self.calls)

    # -- nodes of the graph

    def op(self, name: str, *args: Any) -> Any:
        """`name(*args)`: evaluated at once for plain numbers, else a node of the graph."""
        self.spend(1 + len(args))
        for arg in args:
            if arg is POISON:
                raise Silent
        op = OPS[name]
        values = [a for i, a in enumerate(args) if op.kind(i) == "x" and a is not None]
        for value in values:
            if not isinstance(value, Tensor) and not is_number(value):
                raise Fail("E_TYPE", f"{name} does not take {describe(value)}", _type_hint(value))
        if not any(isinstance(v, Tensor) for v in values) and values:
            return fold(name, args)
        tensor = self.graph.add(name, *args, line=self.line)
        if tensor.data is not None:
            self.spend(tensor.data.numel() // 2)
            return tensor if tensor.data.ndim else tensor.data.item()
        return tensor

    def field(self, name: str) -> Tensor:
        return self.graph.add("input", name, line=self.line)

    def mask(self, condition: Any) -> Any:
        """A tensor of truth values; other values as they are."""
        if isinstance(condition, Tensor) and condition.dtype != "bool":
            return self.op("ne", condition, 0)
        return condition

    def array(self, value: Any) -> Any:
        """A constant tensor of nested lists of numbers, or a stack of tensors in a list."""
        if isinstance(value, Tensor) or is_number(value) or value is POISON:
            return value
        parts = [self.array(v) for v in self.items(value)]
        if any(isinstance(v, Tensor) and v.batched for v in parts):
            return self.op(
                "stack",
                max(v.meta.ndim for v in parts if isinstance(v, Tensor)),
                *[self.filled(v) for v in parts],
            )
        if not parts:
            raise Fail("E_SHAPE", "an empty array")
        dtype = torch.float32 if any(isinstance(v, float) for v in parts) else None
        try:
            rows = [
                v.data if isinstance(v, Tensor) else torch.tensor(v, dtype=dtype) for v in parts
            ]
            return self.graph.const(torch.stack([r for r in rows if r is not None]), self.line)
        except RuntimeError as error:
            raise Fail("E_SHAPE", "the rows of this array differ in length or kind") from error

    def filled(self, value: Any, shape: Sequence[int] = ()) -> Any:
        """A number as a tensor `[N, *shape]`; other values as they are."""
        if not is_number(value):
            return value
        fields = self.graph.fields.values()
        reference = next((f.name for f in fields if f.dtype == "float32"), next(iter(fields)).name)
        return self.op("fill", self.field(reference), list(shape), float(value))

    # -- checks of values

    def truth(self, value: Any) -> bool:
        if isinstance(value, Tensor):
            raise Fail(
                "E_STATIC",
                "this condition differs between environments",
                "pick with torch.where(condition, a, b)",
            )
        if value is POISON:
            raise Silent
        if isinstance(value, Count):
            return True
        if value is None or isinstance(value, (bool, int, float, str, tuple, list, dict)):
            return bool(value)
        raise Fail("E_TYPE", f"{describe(value)} is neither true nor false")

    def items(self, value: Any) -> list[Any]:
        """The elements of a value that is known while compiling."""
        if value is POISON:
            raise Silent
        if isinstance(value, Tensor):
            if value.data is not None and value.data.ndim:
                return [self.op("select", value, 0, i) for i in range(len(value.data))]
            raise Fail(
                "E_BATCH",
                f"a loop over {describe(value)} would go over the environments",
                "operations work on all environments at once: x.sum(dim=-1) over the columns, "
                "or for i in range(x.shape[1]): x[:, i]",
            )
        if isinstance(value, (tuple, list, dict)):
            self.spend(len(value))
            return list(value)
        raise Fail(
            "E_STATIC",
            f"there is nothing to loop over in {describe(value)}",
            "loop over a list, a tuple, a dict or a range known while compiling",
        )

    def mapping(self, value: Any) -> Kwargs:
        if isinstance(value, dict):
            return value
        raise Fail("E_TYPE", f"** of {describe(value)}", "use a dict")

    def key(self, value: Any) -> Any:
        if isinstance(value, (str, int, float)):
            return value
        if value is POISON:
            raise Silent
        raise Fail("E_STATIC", f"{describe(value)} cannot be a key", "keys are words or numbers")

    def entry(self, value: Any, first: ast.AST | None = None, last: ast.AST | None = None) -> Any:
        """`value` as the key under which the code from `first` to `last`, or else the line at hand,
        puts something into a dict."""
        key = self.key(value)
        if isinstance(key, str) and not self.in_library:
            begin = getattr(first, "lineno", self.line)
            end = getattr(last, "end_lineno", None) or begin
            self.entries.setdefault(key, []).append((begin, end))
        return key

    def word(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Fail(
                "E_STATIC",
                f"{describe(value)} where a name is needed",
                's["name"] reads a field; rows of environments cannot be picked out',
            )
        if len(value) > 200:
            raise OverflowError("a word of more than 200 characters")
        return value

    def room(self, container: Any) -> Any:
        """`container`, if it is not too long."""
        if len(container) > MAX_LENGTH:
            raise OverflowError(f"a list of more than {MAX_LENGTH}")
        self.spend(len(container) // 4)
        return container


def fold(name: str, args: Sequence[Any]) -> Any:
    """An operation on plain numbers, as Python computes it. Raises Fail."""
    op = OPS[name]
    try:
        if name == "pow":
            float(args[0]) ** float(args[1])  # raises OverflowError before a huge int is computed
        if name in ("and", "or", "xor"):
            return {"and": operator.and_, "or": operator.or_, "xor": operator.xor}[name](*args)
        if op.run.__module__ == "_operator":
            return number(op.run(*args))
        if name in ("minimum", "maximum"):
            return (min if name == "minimum" else max)(*args)
        if name == "where":
            return args[1] if args[0] else args[2]
        lifted = [
            torch.tensor(float(a), dtype=torch.float64) if op.kind(i) == "x" and is_number(a) else a
            for i, a in enumerate(args)
        ]
        result = op.run(*lifted)
    except OverflowError as error:
        raise Fail("E_ARG", f"{name} of these numbers is too large") from error
    except (ArithmeticError, ValueError, TypeError, RuntimeError, IndexError) as error:
        raise Fail(
            "E_ARG",
            f"{name} of these numbers is not defined",
            "guard it: max(n, 1), or leave it out",
        ) from error
    if not isinstance(result, torch.Tensor) or result.ndim:
        raise Fail("E_TYPE", f"{name} needs a tensor here, not a number")
    return number(result.item())


def number(value: object) -> bool | int | float:
    """`value` if it is a number of reasonable size. Raises Fail."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= 2**53:
        return value
    if isinstance(value, float) and abs(value) <= LARGEST:
        return value
    if isinstance(value, float):
        raise Fail(
            "E_ARG",
            "a number that is not finite, or above 3.4e38",
            "write a finite number below 3.4e38",
        )
    if isinstance(value, int):
        raise Fail("E_ARG", "a whole number above 2**53")
    raise Fail("E_TYPE", f"{type(value).__name__} values are not in the language")


def _type_hint(value: Any) -> str:
    if isinstance(value, Extreme):
        return "take .values of it"
    if isinstance(value, (list, tuple)):
        return "stack them (torch.stack(xs, dim=-1)) or add them up (sum(xs))"
    if isinstance(value, State):
        return "read a field: s.root_vel"
    if isinstance(value, Count):
        return "a reward never depends on the number of environments"
    if isinstance(value, Function):
        return f"call it: {value.name}(s)"
    return ""
