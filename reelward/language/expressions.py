"""From the syntax tree of an expression to its value."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import reelward.language.operators as operators
import reelward.language.spellings as spellings
import reelward.language.tensors as tensors
from reelward.language.builder import PYTHON_ERRORS, Builder, number
from reelward.language.containers import element, freeze, set_element
from reelward.language.errors import Fail, nearest
from reelward.language.foreign import FOREIGN, advice, foreign_field, foreign_read
from reelward.language.graph import Graph, Tensor
from reelward.language.joins import Join
from reelward.language.values import (
    COUNT,
    POISON,
    STATE,
    Args,
    Builtin,
    Dtype,
    Function,
    Half,
    Kwargs,
    Module,
    Native,
    Scope,
    Silent,
    State,
    describe,
    is_number,
)
from reelward.runtime.words import counted

MAX_DEPTH = 150
NO_DEFAULT = object()
"""in place of the default of an argument that has none"""

ADVICE: dict[type[ast.AST], str] = {
    ast.While: "loops are unrolled: use `for` over a range or a list",
    ast.Try: "nothing can raise: use torch.where to guard a value",
    ast.Raise: "leave it out: nothing can raise",
    ast.ClassDef: 'write functions, and constants as a dict: W = {"speed": 1.0}, W["speed"]',
    ast.Global: "a reward has no memory: what it needs of the past is in the state's fields",
    ast.Nonlocal: "a reward has no memory: what it needs of the past is in the state's fields",
    ast.AsyncFunctionDef: "write `def`",
    ast.Delete: "leave it out",
    ast.NamedExpr: "assign on a line of its own",
    ast.Set: "use a list",
    ast.SetComp: "use a list",
    ast.Match: "use if and elif",
}


class Expressions(Builder, ABC):
    """Evaluates expressions and assigns to targets. A call of a function of the text is `inline`."""

    def __init__(self, graph: Graph, library: Scope, errors: list[Any]) -> None:
        super().__init__(graph, library, errors)
        self.depth = 0

    @abstractmethod
    def inline(self, function: Function, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        """What the function returns for these arguments; `node` is the call."""

    def expr(self, node: ast.expr, scope: Scope) -> Any:
        """The value of an expression; POISON where it has none, after the mistake is reported."""
        self.spend()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise OverflowError(f"expressions and calls nested deeper than {MAX_DEPTH}")
        if not self.in_library:
            self.line = node.lineno
        try:
            return self.expression(node, scope)
        except Silent:
            return POISON
        except (Fail, *PYTHON_ERRORS) as error:
            self.report(error, node)
            return POISON
        finally:
            self.depth -= 1

    def sound(self, node: ast.expr, scope: Scope) -> Any:
        """The value of an expression. Raises Silent where it has none."""
        value = self.expr(node, scope)
        if value is POISON:
            raise Silent
        return value

    def expression(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.Constant():
                if node.value is None or isinstance(node.value, str):
                    return node.value
                return number(node.value)
            case ast.Name():
                return self.name(node.id, scope)
            case ast.Attribute() | ast.Subscript() if foreign_read(node, scope, self.graph.fields):
                raise foreign_field(node, self.graph.fields)
            case ast.Attribute():
                return self.attribute(self.sound(node.value, scope), node.attr)
            case ast.Subscript():
                return self.subscript(self.sound(node.value, scope), self.index(node.slice, scope))
            case ast.Call():
                return self.call(node, scope)
            case ast.BinOp():
                left, right = self.expr(node.left, scope), self.expr(node.right, scope)
                return operators.binary(self, node.op, left, right)
            case ast.UnaryOp():
                return operators.unary(self, node.op, self.sound(node.operand, scope))
            case ast.BoolOp():
                return self.logic(node, scope)
            case ast.Compare():
                return self.comparison(node, scope)
            case ast.IfExp():
                test = self.sound(node.test, scope)
                if not isinstance(test, Tensor):
                    return self.expr(node.body if self.truth(test) else node.orelse, scope)
                body, orelse = self.expr(node.body, scope), self.expr(node.orelse, scope)
                return Join(self, test).pick(body, orelse)
            case ast.Tuple():
                return tuple(self.elements(node.elts, scope))
            case ast.List():
                return list(self.elements(node.elts, scope))
            case ast.Dict():
                return self.dict_display(node, scope)
            case ast.ListComp() | ast.GeneratorExp():
                return self.room(
                    [self.expr(node.elt, s) for s in self.comprehend(node.generators, Scope(scope))]
                )
            case ast.DictComp():
                return self.room(
                    {
                        self.entry(self.sound(node.key, s), node.key, node.value): self.expr(
                            node.value, s
                        )
                        for s in self.comprehend(node.generators, Scope(scope))
                    }
                )
            case ast.Lambda():
                return self.function(node, "lambda", scope)
            case ast.JoinedStr():
                return self.word("".join(self.part(v, scope) for v in node.values))
            case _:
                raise not_in_language(node)

    # -- names, attributes, elements

    def name(self, name: str, scope: Scope) -> Any:
        home = scope.find(name) or self.library.find(name)
        if home is not None:
            value = home.names[name]
            if isinstance(value, Half):
                raise Fail(
                    "E_NAME",
                    f"{name!r} is not set alike in both branches of the `if` of line {value.line}",
                    "set it to the same kind of value in both",
                )
            return value
        if name in self.graph.native:
            return Native(name)
        if name in spellings.PYTHON:
            return Builtin(name, spellings.PYTHON[name])
        if name in spellings.ADVICE:
            hint = spellings.ADVICE[name]
        elif name in self.graph.fields:
            hint = f"read it from the argument: s.{name}"
        elif name in FOREIGN:
            hint = advice(name, self.graph.fields)
        elif name.startswith("__"):
            hint = "a reward file imports torch, numpy and math only"
        else:
            known = [*scope.visible(), *self.library.names, *spellings.PYTHON]
            hint = nearest(name, [*known, *self.graph.native])
            hint = hint or "define it first, or use the operations and the library of the language"
        raise Fail("E_NAME", f"{name[:40]!r} is not defined", hint)

    def attribute(self, value: Any, attr: str) -> Any:
        match value:
            case State():
                return self.field(attr)
            case Module():
                return spellings.module_attribute(value, attr)
            case _:
                return spellings.attribute(self, value, attr)

    def subscript(self, value: Any, key: Any) -> Any:
        match value:
            case State():
                return self.field(self.word(key))
            case Tensor():
                return tensors.index(self, value, key)
            case _:
                return element(value, key)

    def index(self, node: ast.expr, scope: Scope) -> Any:
        """A subscript: slices and `...` have a meaning here only."""
        match node:
            case ast.Slice():
                parts = [
                    self.sound(p, scope) if p else None for p in (node.lower, node.upper, node.step)
                ]
                parts = [None if p is COUNT else p for p in parts]
                if not all(p is None or isinstance(p, int) for p in parts) or parts[2] == 0:
                    raise Fail("E_STATIC", "a slice has whole numbers known while compiling")
                return slice(*parts)
            case ast.Constant(value=value) if value is ...:
                return ...
            case ast.Tuple():
                return tuple(self.index(e, scope) for e in node.elts)
            case _:
                return self.sound(node, scope)

    # -- calls

    def call(self, node: ast.Call, scope: Scope) -> Any:
        function = self.sound(node.func, scope)
        args = self.elements(node.args, scope)
        kwargs: Kwargs = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                kwargs |= self.mapping(self.sound(keyword.value, scope))
            else:
                kwargs[keyword.arg] = self.expr(keyword.value, scope)
        self.spend(len(args) + len(kwargs))
        match function:
            case Function():
                return self.inline(function, args, kwargs, node)
            case Builtin():
                if any(v is POISON for v in (*args, *kwargs.values())):
                    raise Silent
                return function.call(self, args, kwargs)
            case Dtype():
                return spellings.cast(self, args[0], function.name)
            case Native():
                if kwargs or list(args) != [STATE]:
                    raise Fail("E_ARG", f"a native term takes the state alone: {function.name}(s)")
                return self.op("native", function.name)
            case _:
                hint = "put a `*` between them" if is_number(function) else ""
                raise Fail("E_TYPE", f"{describe(function)} is not a function", hint)

    def function(self, node: ast.FunctionDef | ast.Lambda, name: str, scope: Scope) -> Function:
        a = node.args
        return Function(
            name,
            node,
            scope,
            tuple(self.expr(d, scope) for d in a.defaults),
            tuple(self.expr(d, scope) if d else NO_DEFAULT for d in a.kw_defaults),
            scope.root is self.library,
        )

    # -- lists, dicts, words

    def elements(self, nodes: Iterable[ast.expr], scope: Scope) -> list[Any]:
        values: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values += self.items(self.sound(node.value, scope))
            else:
                values.append(self.expr(node, scope))
        return self.room(values)

    def dict_display(self, node: ast.Dict, scope: Scope) -> Any:
        result: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                result |= self.mapping(self.sound(value, scope))
            else:
                name = self.entry(self.sound(key, scope), key, value)
                result[name] = self.expr(value, scope)
        return self.room(result)

    def comprehend(self, generators: Sequence[ast.comprehension], scope: Scope) -> Iterable[Scope]:
        if not generators:
            yield scope
            return
        first, rest = generators[0], generators[1:]
        for item in self.items(self.sound(first.iter, scope)):
            self.spend(5)
            inner = Scope(scope)
            self.assign(first.target, item, inner, first.target)
            if all(self.truth(self.sound(test, inner)) for test in first.ifs):
                yield from self.comprehend(rest, inner)

    def part(self, node: ast.expr, scope: Scope) -> str:
        """A part of an f-string."""
        if not isinstance(node, ast.FormattedValue):
            return self.word(self.sound(node, scope))
        value = self.sound(node.value, scope)
        if node.format_spec or node.conversion != -1 or not isinstance(value, (str, int, float)):
            raise Fail("E_FORM", "an f-string takes plain words and numbers only")
        return str(value)

    # -- conditions

    def logic(self, node: ast.BoolOp, scope: Scope) -> Any:
        both = isinstance(node.op, ast.And)
        result = self.sound(node.values[0], scope)
        for part in node.values[1:]:
            if not isinstance(result, Tensor):
                if self.truth(result) != both:
                    return result
                result = self.sound(part, scope)
            else:
                other = self.sound(part, scope)
                result = self.op("and" if both else "or", self.mask(result), self.mask(other))
        return result

    def comparison(self, node: ast.Compare, scope: Scope) -> Any:
        values = [self.sound(v, scope) for v in (node.left, *node.comparators)]
        result: Any = True
        for op, a, b in zip(node.ops, values, values[1:], strict=False):
            one = operators.compare(self, op, a, b)
            if isinstance(one, Tensor) and isinstance(result, Tensor):
                result = self.op("and", result, one)
            elif result is True:
                result = one
            elif one is not True:
                result = False
        return result

    # -- targets

    def define(self, name: str, value: Any, scope: Scope) -> None:
        scope.names[name] = freeze(self, value) if scope.shared else value

    def assign(self, target: ast.expr, value: Any, scope: Scope, whole: ast.AST) -> None:
        """`target = value`; `whole` is the statement around it."""
        match target:
            case ast.Name():
                self.define(target.id, value, scope)
            case ast.Tuple() | ast.List():
                values = [POISON] * len(target.elts) if value is POISON else self.items(value)
                if len(values) != len(target.elts):
                    raise Fail(
                        "E_SHAPE",
                        f"{counted(len(target.elts), 'name')} for {counted(len(values), 'value')}",
                    )
                for part, item in zip(target.elts, values, strict=True):
                    self.assign(part, item, scope, whole)
            case ast.Subscript():
                container = self.sound(target.value, scope)
                if isinstance(container, (Tensor, State)):
                    columns = isinstance(target.slice, (ast.Tuple, ast.Slice))
                    raise Fail(
                        "E_STATE",
                        "a tensor is never written into",
                        "put the columns together: x = torch.stack([a, b], dim=-1)"
                        if columns
                        else "x = torch.where(condition, new, x)",
                    )
                key = self.sound(target.slice, scope)
                set_element(self, container, key, value)
                if isinstance(container, dict):
                    self.entry(key, whole, whole)
            case _:
                raise Fail(
                    "E_STATE",
                    "only names and elements of lists and dicts can be set",
                    "a reward has no memory and changes nothing",
                )


def not_in_language(node: ast.AST) -> Fail:
    name = type(node).__name__.lower()
    return Fail("E_FORM", f"`{name}` is not in the language", ADVICE.get(type(node), ""))
