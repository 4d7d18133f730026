"""Abstract interpretation: from the syntax tree of a text to the typed graph.

Numbers, lists, dicts, loops and calls are worked out here; what differs between environments becomes
a node. Nothing of the text is executed, imported, or used to look up an attribute of a Python object:
the only names it can reach are those in the tables of this package.
"""

from __future__ import annotations

import ast
import copy
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from reelward.language import spellings
from reelward.language.errors import Diagnostic, Fail, RewardError, nearest
from reelward.language.graph import Graph, Tensor
from reelward.language.ops import OPS
from reelward.language.values import (
    COUNT,
    POISON,
    STATE,
    Builtin,
    Count,
    Extreme,
    Function,
    Half,
    Module,
    Native,
    Scope,
    State,
    describe,
    is_number,
)

MAX_STEPS = 60_000
MAX_DEPTH = 150
MAX_CALLS = 16
MAX_LENGTH = 4096
MAX_ERRORS = 20

BINARY: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.FloorDiv: "floordiv",
    ast.Mod: "mod", ast.Pow: "pow", ast.MatMult: "matmul",
    ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip
FELL, RAN, BREAK, CONTINUE = object(), object(), object(), object()
"""how a block ends when it does not return"""

SLIPS = (TypeError, IndexError, ValueError, KeyError, AttributeError, ZeroDivisionError)
"""what Python says here of a call with too few arguments, or of the wrong kind"""
ADVICE = {
    ast.While: "loops are unrolled: use `for` over a range or a list",
    ast.Try: "nothing can raise: use torch.where to guard a value",
    ast.Raise: "leave it out: nothing can raise",
    ast.ClassDef: "write functions",
    ast.Global: "a reward has no memory: what it needs of the past is in the state's fields",
    ast.Nonlocal: "a reward has no memory: what it needs of the past is in the state's fields",
    ast.AsyncFunctionDef: "write `def`",
    ast.Delete: "leave it out",
    ast.NamedExpr: "assign on a line of its own",
    ast.Set: "use a list",
    ast.SetComp: "use a list",
    ast.Match: "use if and elif",
}


class Silent(Exception):
    """Something refused before is used: it has been reported already."""


class Interpreter:
    def __init__(self, graph: Graph, library: Scope, errors: list[Diagnostic]) -> None:
        self.graph, self.library, self.errors = graph, library, errors
        self.steps = self.depth = self.line = 0
        self.calls: list[tuple[Function, ast.AST]] = []
        self.entries: dict[str, int] = {}
        """name -> the line that last put something under that name into a dict"""
        self.origin: dict[int, Any] = {}
        """id of what a branch of an `if` has as a copy -> the value itself, while they are joined"""

    # -- budget and mistakes

    def spend(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise OverflowError(f"more than {MAX_STEPS} steps: the loops are too long")

    def report(self, fail: Fail, node: ast.AST) -> None:
        self.spend(100)  # the hint took its time
        outer = next((i for i, (f, _) in enumerate(self.calls) if f.library), None)
        message = fail.message
        if outer is not None:  # a mistake in a library function is the caller's
            function, node = self.calls[outer]
            message = f"{function.name}(): {message}"
        line, col = getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1
        found = Diagnostic(fail.code, line, col, message, fail.hint)
        if found not in self.errors:
            self.errors.append(found)
        if len(self.errors) >= MAX_ERRORS:
            raise RewardError(self.errors)

    # -- nodes of the graph

    def op(self, name: str, *args: Any) -> Any:
        """`name(*args)`: worked out at once for numbers, else a node."""
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

    # -- statements

    def block(self, body: Sequence[ast.stmt], scope: Scope) -> Any:
        """Runs the statements; gives what they return, or FELL, BREAK or CONTINUE."""
        for i, statement in enumerate(body):
            self.spend()
            try:
                result = self.statement(statement, scope, body[i + 1 :])
            except Silent:
                result = self.poison(statement, scope)
            except (Fail, *SLIPS) as error:
                self.report(_as_fail(error), statement)
                result = self.poison(statement, scope)
            if result is not FELL:
                return FELL if result is RAN else result
        return FELL

    def poison(self, statement: ast.stmt, scope: Scope) -> Any:
        """A statement was refused: the names it would have set are known to be lost."""
        for node in ast.walk(statement):
            self.spend()
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope.names[node.id] = POISON
        return POISON if isinstance(statement, ast.Return) else FELL

    def statement(self, node: ast.stmt, scope: Scope, rest: Sequence[ast.stmt]) -> Any:
        match node:
            case ast.Return():
                return self.expr(node.value, scope) if node.value else None
            case ast.Assign():
                value = self.expr(node.value, scope)
                for target in node.targets:
                    self.assign(target, value, scope)
            case ast.AnnAssign():
                if node.value is not None:
                    self.assign(node.target, self.expr(node.value, scope), scope)
            case ast.AugAssign():
                load = copy.copy(node.target)
                load.ctx = ast.Load()
                self.assign(
                    node.target,
                    self.binary(node.op, self.sound(load, scope), self.sound(node.value, scope)),
                    scope,
                )
            case ast.Expr():
                if not isinstance(node.value, ast.Constant):
                    self.expr(node.value, scope)
            case ast.FunctionDef():
                self.decorators(node)
                self.define(node.name, self.function(node, node.name, scope), scope)
            case ast.If():
                return self.branch(node, scope, rest)
            case ast.For():
                return self.loop(node, scope)
            case ast.Import() | ast.ImportFrom():
                self.imports(node, scope)
            case ast.With():
                if not all(
                    _last_name(item.context_expr) in ("no_grad", "inference_mode")
                    for item in node.items
                ):
                    raise Fail("E_FORM", "`with` is not in the language", "leave it out")
                return self.block(node.body, scope)
            case ast.Break():
                return BREAK
            case ast.Continue():
                return CONTINUE
            case ast.Pass() | ast.Assert():
                pass
            case _:
                raise _not_in_language(node)
        return FELL

    def decorators(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            if _last_name(decorator) not in ("script", "no_grad", "inference_mode", "compile"):
                raise Fail("E_FORM", "this decorator is not in the language", "leave it out")

    def imports(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        for module in modules:
            if (module or "").split(".")[0] not in spellings.MODULES:
                raise Fail(
                    "E_IMPORT",
                    f"import of {(module or 'a relative module')[:40]!r}",
                    "torch, numpy and math are all there is; the standard library needs no import",
                )
        for alias in node.names:
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.split(".")[0]
                scope.names[name] = Module(alias.name.split(".")[0])
            elif (module := (node.module or "").split(".")[0]) in ("torch", "numpy", "math"):
                scope.names[alias.asname or alias.name] = self.attribute(Module(module), alias.name)

    def define(self, name: str, value: Any, scope: Scope) -> None:
        scope.names[name] = freeze(value, self) if scope.shared else value

    def assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        match target:
            case ast.Name():
                self.define(target.id, value, scope)
            case ast.Tuple() | ast.List():
                values = [POISON] * len(target.elts) if value is POISON else self.items(value)
                if len(values) != len(target.elts):
                    raise Fail("E_SHAPE", f"{len(target.elts)} names for {len(values)} values")
                for element, part in zip(target.elts, values, strict=True):
                    self.assign(element, part, scope)
            case ast.Subscript():
                container, key = self.sound(target.value, scope), self.sound(target.slice, scope)
                if isinstance(container, (Tensor, State)):
                    raise Fail(
                        "E_STATE",
                        "a tensor is never written into",
                        "x = torch.where(condition, new, x)",
                    )
                if type(container) is dict and isinstance(key, (str, int, float)):
                    container[self.key(key, target)] = value
                elif isinstance(container, list) and isinstance(key, int):
                    if not -len(container) <= key < len(container):
                        raise Fail("E_ARG", f"there is no element {key} of {len(container)}")
                    container[key] = value
                else:
                    raise _frozen(container)
                self.room(container)
            case _:
                raise Fail(
                    "E_STATE",
                    "only names and elements of lists and dicts can be set",
                    "a reward has no memory and changes nothing",
                )

    def loop(self, node: ast.For, scope: Scope) -> Any:
        for item in self.items(self.sound(node.iter, scope)):
            self.spend(5)
            self.assign(node.target, item, scope)
            result = self.block(node.body, scope)
            if result is BREAK:
                return FELL
            if result not in (FELL, CONTINUE):
                return result
        return self.block(node.orelse, scope)

    def branch(self, node: ast.If, scope: Scope, rest: Sequence[ast.stmt]) -> Any:
        test = self.expr(node.test, scope)
        if not isinstance(test, Tensor) and test is not POISON:
            return self.block(node.body if self.truth(test) else node.orelse, scope)
        inside = [n for s in (*node.body, *node.orelse) for n in ast.walk(s)]
        self.spend(len(inside))
        if any(isinstance(n, (ast.Break, ast.Continue)) for n in inside):
            raise Fail(
                "E_STATIC",
                "a loop cannot end early in some environments only",
                "compute a 0/1 mask and multiply by it",
            )
        after = rest if any(map(may_return, (*node.body, *node.orelse))) else ()
        before = reached(scope)
        ends, scopes, copies = [], [], []
        for body in (node.body, node.orelse):
            self.spend(len(before))
            memo: dict[int, Any] = {}
            scopes.append(copy.deepcopy(scope, memo))
            copies.append({id(v): memo[id(v)] for v in before if id(v) in memo})
            ends.append(self.block([*body, *after], scopes[-1]))
        self.origin = {id(made[id(v)]): v for v in before for made in copies if id(v) in made}
        try:
            return self.join(test, node, scope, scopes, copies, ends, RAN if after else FELL)
        finally:
            self.origin = {}

    def join(
        self, test: Any, node: ast.If, scope: Scope, scopes: Sequence[Scope],
        copies: Sequence[Mapping[int, Any]], ends: Sequence[Any], fell: object,
    ) -> Any:  # fmt: skip
        """Put what the two branches of an `if` made of their copies of all values into the values
        themselves, whoever else holds them, and into the names of `scope`; give how it ended."""
        for one, other in zip(*(made.values() for made in copies), strict=True):
            value = self.origin[id(one)]
            if type(value) is list:
                value[:] = self.pick(test, [*one], [*other])
            elif type(value) is dict:
                merged = self.pick(test, {**one}, {**other})
                value.clear()
                value.update(merged)
        if ends[0] is FELL and ends[1] is FELL:
            for name in scopes[0].names.keys() | scopes[1].names.keys():
                scope.names[name] = self.merged(test, scopes, name, node.lineno)
            return fell
        if FELL in ends:
            raise Fail(
                "E_FORM",
                "one branch of an `if` over tensors returns, the other does not",
                "return in both branches, or assign in both and return after",
            )
        return self.pick(test, *ends)

    def merged(self, test: Any, scopes: Sequence[Scope], name: str, line: int) -> Any:
        try:
            return self.pick(test, scopes[0].names[name], scopes[1].names[name])
        except (Fail, *SLIPS):
            return Half(name, line)

    def pick(self, test: Any, a: Any, b: Any) -> Any:
        """`a` where `test` holds, else `b`, for values of one kind."""
        self.spend()
        if a is b or type(a) is type(b) and isinstance(a, (bool, int, float, str)) and a == b:
            return a
        origin = self.origin.get(id(a))
        if origin is not None and origin is self.origin.get(id(b)):
            return origin
        if POISON in (test, a, b):
            return POISON
        if isinstance(a, (Tensor, int, float)) and isinstance(b, (Tensor, int, float)):
            return self.op("where", self.mask(test), a, b)
        if isinstance(a, (tuple, list)) and type(a) is type(b) and len(a) == len(b):
            return type(a)(self.pick(test, x, y) for x, y in zip(a, b, strict=True))
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            return {k: self.pick(test, a[k], b[k]) for k in a}
        raise Fail(
            "E_STATIC",
            f"{describe(a)} and {describe(b)} cannot be chosen per environment",
            "give both branches the same names and kinds",
        )

    def mask(self, test: Any) -> Any:
        return self.op("ne", test, 0) if isinstance(test, Tensor) and test.dtype != "bool" else test

    # -- expressions

    def expr(self, node: ast.expr, scope: Scope) -> Any:
        """The value of an expression; POISON after reporting when it has none."""
        self.spend()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise OverflowError(f"expressions and calls nested deeper than {MAX_DEPTH}")
        if not any(function.library for function, _ in self.calls):
            self.line = node.lineno
        try:
            return self.expression(node, scope)
        except Silent:
            return POISON
        except (Fail, *SLIPS) as error:
            self.report(_as_fail(error), node)
            return POISON
        finally:
            self.depth -= 1

    def sound(self, node: ast.expr, scope: Scope) -> Any:
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
            case ast.Attribute():
                return self.attribute(self.sound(node.value, scope), node.attr)
            case ast.Subscript():
                return self.subscript(self.sound(node.value, scope), self.index(node.slice, scope))
            case ast.Call():
                return self.call_node(node, scope)
            case ast.BinOp():
                left, right = self.expr(node.left, scope), self.expr(node.right, scope)
                return self.binary(node.op, left, right)
            case ast.UnaryOp():
                return self.unary(node.op, self.sound(node.operand, scope))
            case ast.BoolOp():
                return self.logic(node, scope)
            case ast.Compare():
                return self.compare(node, scope)
            case ast.IfExp():
                test = self.sound(node.test, scope)
                if not isinstance(test, Tensor):
                    return self.expr(node.body if self.truth(test) else node.orelse, scope)
                return self.pick(test, self.expr(node.body, scope), self.expr(node.orelse, scope))
            case ast.Tuple():
                return tuple(self.elements(node.elts, scope))
            case ast.List():
                return list(self.elements(node.elts, scope))
            case ast.Dict():
                result: dict[Any, Any] = {}
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is None:
                        result |= self.mapping(self.sound(value, scope))
                    else:
                        name = self.key(self.sound(key, scope), value)
                        result[name] = self.expr(value, scope)
                return self.room(result)
            case ast.ListComp() | ast.GeneratorExp():
                return self.room(
                    [self.expr(node.elt, s) for s in self.comprehend(node.generators, Scope(scope))]
                )
            case ast.DictComp():
                return self.room(
                    {
                        self.key(self.sound(node.key, s), node.key): self.expr(node.value, s)
                        for s in self.comprehend(node.generators, Scope(scope))
                    }
                )
            case ast.Lambda():
                return self.function(node, "lambda", scope)
            case ast.JoinedStr():
                return self.word("".join(self.part(v, scope) for v in node.values))
            case _:
                raise _not_in_language(node)

    def name(self, name: str, scope: Scope) -> Any:
        found = scope.find(name) or self.library.find(name)
        if found is not None:
            value = found.names[name]
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
        hint = (
            "a reward file imports torch, numpy and math only"
            if name.startswith("__")
            else nearest(name, [*names_of(scope), *self.library.names, *spellings.PYTHON])
        )
        if name in spellings.ADVICE:
            hint = spellings.ADVICE[name]
        elif name in self.graph.fields:
            hint = f"read it from the argument: s.{name}"
        raise Fail("E_NAME", f"{name[:40]!r} is not defined", hint)

    def attribute(self, value: Any, attr: str) -> Any:
        match value:
            case State():
                return self.graph.add("input", attr, line=self.line)
            case Module():
                return spellings.module_attribute(value, attr)
            case _:
                return spellings.attribute(self, value, attr)

    def subscript(self, value: Any, key: Any) -> Any:
        match value:
            case State():
                return self.graph.add("input", self.word(key), line=self.line)
            case Tensor():
                return spellings.index(self, value, key)
            case dict():
                if not isinstance(key, (str, int, float)) or key not in value:
                    raise Fail(
                        "E_ARG",
                        f"the dict has no {describe(key)}",
                        nearest(str(key), map(str, value)),
                    )
                return value[key]
            case tuple() | list() | str():
                if (
                    isinstance(key, slice)
                    or isinstance(key, int)
                    and -len(value) <= key < len(value)
                ):
                    return value[key]
                raise Fail("E_ARG", f"there is no element {describe(key)} of {len(value)}")
            case _:
                raise Fail("E_TYPE", f"{describe(value)} has no elements")

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

    def call_node(self, node: ast.Call, scope: Scope) -> Any:
        function = self.sound(node.func, scope)
        args = self.elements(node.args, scope)
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                kwargs |= self.mapping(self.sound(keyword.value, scope))
            else:
                kwargs[keyword.arg] = self.expr(keyword.value, scope)
        self.spend(len(args) + len(kwargs))
        return self.call(function, args, kwargs, node)

    def call(
        self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> Any:
        match function:
            case Function():
                return self.inline(function, args, kwargs, node)
            case Builtin():
                if any(v is POISON for v in (*args, *kwargs.values())):
                    raise Silent
                return function.call(self, args, kwargs)
            case Native():
                if kwargs or list(args) != [STATE]:
                    raise Fail("E_ARG", f"a native term takes the state alone: {function.name}(s)")
                return self.op("native", function.name)
            case _:
                raise Fail(
                    "E_TYPE",
                    f"{describe(function)} is not a function",
                    "put a `*` between them" if is_number(function) else "",
                )

    def function(self, node: ast.FunctionDef | ast.Lambda, name: str, scope: Scope) -> Function:
        a = node.args
        if a.vararg or a.kwarg:
            raise Fail("E_FORM", "*args and **kwargs are not in the language", "name the arguments")
        return Function(
            name,
            node,
            scope,
            tuple(self.expr(d, scope) for d in a.defaults),
            tuple(self.expr(d, scope) if d else FELL for d in a.kw_defaults),
            root(scope) is self.library,
        )

    def inline(
        self, function: Function, args: Sequence[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> Any:
        if len(self.calls) >= MAX_CALLS:
            raise Fail(
                "E_LIMIT",
                f"functions call each other more than {MAX_CALLS} deep",
                "no recursion: use a `for` loop",
            )
        scope = Scope(function.scope)
        self.calls.append((function, node))
        try:
            scope.names = bind(function, args, kwargs)
            body = function.node.body
            if not isinstance(body, list):
                return self.expr(body, scope)
            result = self.block(body, scope)
        finally:
            self.calls.pop()
        return None if result is FELL else result

    def elements(self, nodes: Iterable[ast.expr], scope: Scope) -> list[Any]:
        values: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values += self.items(self.sound(node.value, scope))
            else:
                values.append(self.expr(node, scope))
        return self.room(values)

    def comprehend(self, generators: Sequence[ast.comprehension], scope: Scope) -> Iterable[Scope]:
        if not generators:
            yield scope
            return
        first, rest = generators[0], generators[1:]
        for item in self.items(self.sound(first.iter, scope)):
            self.spend(5)
            inner = Scope(scope)
            self.assign(first.target, item, inner)
            if all(self.truth(self.sound(test, inner)) for test in first.ifs):
                yield from self.comprehend(rest, inner)

    def binary(self, op: ast.operator | ast.cmpop, a: Any, b: Any) -> Any:
        name = BINARY.get(type(op))
        if name is None:
            raise Fail("E_FORM", "this operator is not in the language")
        if a is POISON or b is POISON:
            raise Silent
        if name == "add" and isinstance(a, (list, tuple, str)) and type(a) is type(b):
            joined: Any = operator.add(a, b)
            return self.word(joined) if isinstance(a, str) else self.room(joined)
        if name == "mul" and isinstance(a, (list, tuple)) and type(b) is int:
            if len(a) * b > MAX_LENGTH:
                raise OverflowError(f"a list of more than {MAX_LENGTH}")
            return a * b
        if name == "or" and isinstance(a, dict) and isinstance(b, dict):
            return self.room(a | b)
        a, b = (
            self.array(v) if isinstance(v, (list, tuple)) and isinstance(w, Tensor) else v
            for v, w in ((a, b), (b, a))
        )
        return self.op(name, a, b)

    def unary(self, op: ast.unaryop, value: Any) -> Any:
        match op:
            case ast.Not():
                if isinstance(value, Tensor):
                    return self.op("not", self.mask(value))
                return not self.truth(value)
            case ast.USub():
                return (
                    self.op("neg", value)
                    if isinstance(value, Tensor)
                    else self.op("sub", 0, value)
                    if value != 0 or not is_number(value)
                    else -value
                )
            case ast.UAdd():
                return self.op("add", value, 0) if not isinstance(value, Tensor) else value
            case _:
                if isinstance(value, Tensor) and value.dtype == "bool":
                    return self.op("not", value)
                raise Fail("E_TYPE", f"~ of {describe(value)}", "~ is for conditions: ~(x > 0)")

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

    def compare(self, node: ast.Compare, scope: Scope) -> Any:
        values = [self.sound(v, scope) for v in (node.left, *node.comparators)]
        result: Any = True
        for op, a, b in zip(node.ops, values, values[1:], strict=False):
            one = self.compared(op, a, b)
            both = isinstance(one, Tensor) and isinstance(result, Tensor)
            result = (
                self.op("and", result, one)
                if both
                else one
                if result is True
                else result
                if one is True
                else False
            )
        return result

    def compared(self, op: ast.cmpop, a: Any, b: Any) -> Any:
        match op:
            case ast.In() | ast.NotIn():
                if isinstance(b, State):
                    found = a in self.graph.fields
                elif isinstance(a, str) and isinstance(b, str):
                    found = a in b
                elif isinstance(a, (str, int, float)) and isinstance(b, (tuple, list, dict)):
                    self.spend(len(b))
                    found = any(type(x) in (str, int, float) and x == a for x in b)
                else:
                    raise Fail("E_TYPE", f"`in` for {describe(a)} and {describe(b)}")
                return found == isinstance(op, ast.In)
            case ast.Is() | ast.IsNot():
                if a is not None and b is not None:
                    raise Fail("E_FORM", "`is` is for None only", "use ==")
                return (a is b) == isinstance(op, ast.Is)
            case _:
                if all(v is None or isinstance(v, str) for v in (a, b)):
                    if isinstance(op, (ast.Eq, ast.NotEq)):
                        return (a == b) == isinstance(op, ast.Eq)
                if (a is None) != (b is None) and isinstance(op, (ast.Eq, ast.NotEq)):
                    return isinstance(op, ast.NotEq)
                return self.binary(op, a, b)

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
        """The elements of something that is known while compiling."""
        if value is POISON:
            raise Silent
        if isinstance(value, Tensor):
            if value.data is not None and value.data.ndim:
                return [spellings.index(self, value, i) for i in range(len(value.data))]
            raise Fail(
                "E_BATCH",
                f"a loop over {describe(value)} would go over the environments",
                "operations work on all environments at once; loop over names or a range",
            )
        if isinstance(value, (tuple, list, dict)):
            self.spend(len(value))
            return list(value)
        raise Fail(
            "E_STATIC",
            f"there is nothing to loop over in {describe(value)}",
            "loop over a list, a tuple, a dict or a range known while compiling",
        )

    def mapping(self, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        raise Fail("E_TYPE", f"** of {describe(value)}", "use a dict")

    def key(self, value: Any, node: ast.AST | None = None) -> Any:
        if isinstance(value, (str, int, float)):
            if isinstance(value, str) and not any(f.library for f, _ in self.calls):
                self.entries[value] = getattr(node, "lineno", self.line)
            return value
        if value is POISON:
            raise Silent
        raise Fail("E_STATIC", f"{describe(value)} cannot be a key", "keys are words or numbers")

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

    def part(self, node: ast.expr, scope: Scope) -> str:
        if not isinstance(node, ast.FormattedValue):
            return self.word(self.sound(node, scope))
        value = self.sound(node.value, scope)
        if node.format_spec or node.conversion != -1 or not isinstance(value, (str, int, float)):
            raise Fail("E_FORM", "an f-string takes plain words and numbers only")
        return str(value)

    def room(self, container: Any) -> Any:
        if len(container) > MAX_LENGTH:
            raise OverflowError(f"a list of more than {MAX_LENGTH}")
        self.spend(len(container) // 4)
        return container

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
        """A tensor with one `value` an environment."""
        if not is_number(value):
            return value
        reference = self.graph.add("input", next(iter(self.graph.fields)), line=self.line)
        return self.op("fill", reference, list(shape), float(value))


def fold(name: str, args: Sequence[Any]) -> Any:
    """An operation on numbers alone, as Python would do it."""
    op = OPS[name]
    try:
        if name == "pow":
            float(args[0]) ** float(args[1])  # refuses what would be too large before it is made
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
        raise Fail("E_ARG", f"{name} of these numbers is not defined") from error
    if not isinstance(result, torch.Tensor) or result.ndim:
        raise Fail("E_TYPE", f"{name} needs a tensor here, not a number")
    return number(result.item())


def number(value: object) -> bool | int | float:
    """`value` if it is a number of reasonable size. Raises Fail."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= 2**53:
        return value
    if isinstance(value, float) and not math.isnan(value):
        return value
    if isinstance(value, int):
        raise Fail("E_ARG", "a whole number above 2**53")
    raise Fail("E_TYPE", f"{type(value).__name__} values are not in the language")


def bind(function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    a = function.node.args
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    names = positional + [p.arg for p in a.kwonlyargs]
    if len(args) > len(positional):
        raise Fail(
            "E_ARG",
            f"{function.name}() takes {len(positional)} arguments, not {len(args)}",
            f"{function.name}({', '.join(names)})",
        )
    bound = dict(zip(positional, args, strict=False))
    for key, value in kwargs.items():
        if key not in names or key in bound:
            raise Fail(
                "E_ARG",
                f"{function.name}() has no argument {key!r} left to set",
                f"{function.name}({', '.join(names)})",
            )
        bound[key] = value
    defaults = dict(zip(positional[::-1], function.defaults[::-1], strict=False))
    defaults |= {
        p.arg: d for p, d in zip(a.kwonlyargs, function.kw_defaults, strict=True) if d is not FELL
    }
    for name in names:
        if name not in bound:
            if name not in defaults:
                raise Fail(
                    "E_ARG",
                    f"{function.name}() misses the argument {name!r}",
                    f"{function.name}({', '.join(names)})",
                )
            bound[name] = defaults[name]
    return bound


def freeze(value: Any, interpreter: Interpreter) -> Any:
    """A module constant: lists become tuples, and no dict of it can be written to."""
    interpreter.spend()
    if isinstance(value, (list, tuple)):
        return (
            type(value)._make(value)
            if hasattr(value, "_make")
            else tuple(freeze(v, interpreter) for v in value)
        )
    if isinstance(value, dict):
        return Frozen({k: freeze(v, interpreter) for k, v in value.items()})
    return value


class Frozen(dict[Any, Any]):
    """A dict at module level: read only."""


def reached(scope: Scope) -> list[Any]:
    """What a copy of the scope has made anew."""
    seen: dict[int, Any] = {}
    open_: list[Any] = [scope]
    while open_:
        value = open_.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, Scope) and not value.shared:
            open_ += [value.parent, *value.names.values()]
        elif isinstance(value, (tuple, list)):
            open_ += value
        elif isinstance(value, dict):
            open_ += value.values()
        elif isinstance(value, Function):
            open_.append(value.scope)
    return list(seen.values())


def may_return(node: ast.AST) -> bool:
    """A `return` of the function that the statement stands in."""
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        return False
    return isinstance(node, ast.Return) or any(map(may_return, ast.iter_child_nodes(node)))


def root(scope: Scope) -> Scope:
    while scope.parent is not None:
        scope = scope.parent
    return scope


def names_of(scope: Scope | None) -> Iterable[str]:
    while scope is not None:
        yield from scope.names
        scope = scope.parent


def _last_name(node: ast.AST) -> str:
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _as_fail(error: Exception) -> Fail:
    if isinstance(error, Fail):
        return error
    return Fail("E_ARG", "wrong number or kind of arguments or indices")


def _frozen(container: Any) -> Fail:
    return Fail(
        "E_STATE",
        f"{describe(container)} cannot be written to",
        "module constants stay as they are; build a new list or dict in the function",
    )


def _not_in_language(node: ast.AST) -> Fail:
    name = type(node).__name__.lower()
    return Fail("E_FORM", f"`{name}` is not in the language", ADVICE.get(type(node), ""))


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
