"""Python's operators: arithmetic, comparisons and signs, on tensors and on values known while compiling."""

from __future__ import annotations

import ast
import operator
from typing import Any

from reelward.language.builder import MAX_LENGTH, Builder
from reelward.language.errors import Fail
from reelward.language.graph import Tensor
from reelward.language.values import POISON, Silent, State, describe, is_number

BINARY: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.FloorDiv: "floordiv",
    ast.Mod: "mod", ast.Pow: "pow", ast.MatMult: "matmul",
    ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip


def binary(c: Builder, op: ast.operator | ast.cmpop, a: Any, b: Any) -> Any:
    name = BINARY.get(type(op))
    if name is None:
        raise Fail("E_FORM", "this operator is not in the language")
    if a is POISON or b is POISON:
        raise Silent
    if name == "add" and isinstance(a, (list, tuple, str)) and type(a) is type(b):
        joined: Any = operator.add(a, b)
        return c.word(joined) if isinstance(a, str) else c.room(joined)
    if name == "mul" and isinstance(a, (list, tuple)) and type(b) is int:
        if len(a) * b > MAX_LENGTH:
            raise OverflowError(f"a list of more than {MAX_LENGTH}")
        return a * b
    if name == "or" and isinstance(a, dict) and isinstance(b, dict):
        return c.room(a | b)
    a, b = (
        c.array(v) if isinstance(v, (list, tuple)) and isinstance(w, Tensor) else v
        for v, w in ((a, b), (b, a))
    )
    return c.op(name, a, b)


def unary(c: Builder, op: ast.unaryop, value: Any) -> Any:
    match op:
        case ast.Not():
            if isinstance(value, Tensor):
                return c.op("not", c.mask(value))
            return not c.truth(value)
        case ast.USub():
            if isinstance(value, Tensor):
                return c.op("neg", value)
            if is_number(value):
                return -value  # 0 - 0.0 would lose the sign
            return c.op("sub", 0, value)
        case ast.UAdd():
            return value if isinstance(value, Tensor) else c.op("add", value, 0)
        case _:
            if isinstance(value, Tensor) and value.dtype == "bool":
                return c.op("not", value)
            raise Fail("E_TYPE", f"~ of {describe(value)}", "~ is for conditions: ~(x > 0)")


def compare(c: Builder, op: ast.cmpop, a: Any, b: Any) -> Any:
    """One comparison: true or false where it is known while compiling, else a tensor."""
    match op:
        case ast.In() | ast.NotIn():
            return _contains(c, a, b) == isinstance(op, ast.In)
        case ast.Is() | ast.IsNot():
            if a is not None and b is not None:
                raise Fail("E_FORM", "`is` is for None only", "use ==")
            return (a is b) == isinstance(op, ast.Is)
        case ast.Eq() | ast.NotEq():
            if all(v is None or isinstance(v, str) for v in (a, b)):
                return (a == b) == isinstance(op, ast.Eq)
            if (a is None) != (b is None):
                return isinstance(op, ast.NotEq)
    return binary(c, op, a, b)


def _contains(c: Builder, a: Any, b: Any) -> bool:
    if isinstance(b, State):
        return a in c.graph.fields
    if isinstance(a, str) and isinstance(b, str):
        return a in b
    if isinstance(a, (str, int, float)) and isinstance(b, (tuple, list, dict)):
        c.spend(len(b))
        return any(type(x) in (str, int, float) and x == a for x in b)
    raise Fail("E_TYPE", f"`in` for {describe(a)} and {describe(b)}")
