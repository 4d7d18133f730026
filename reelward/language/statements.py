"""From the syntax tree of a text to the typed graph: statements, branches, loops and calls.

`Interpreter` is the whole compiler front: it runs the statements of a text on `expressions`.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from typing import Any

from reelward.language.builder import PYTHON_ERRORS
from reelward.language.errors import Fail
from reelward.language.expressions import NO_DEFAULT, Expressions, not_in_language
from reelward.language.graph import Tensor
from reelward.language.joins import End, Join, branch, reachable
from reelward.language.operators import binary
from reelward.language.spellings import MODULES, star
from reelward.language.values import POISON, Args, Function, Kwargs, Module, Scope, Silent

MAX_CALLS = 16
DECORATORS = ("script", "no_grad", "inference_mode", "compile", "jit", "njit", "staticmethod")
"""accepted, without effect"""


class Interpreter(Expressions):
    def block(self, body: Sequence[ast.stmt], scope: Scope) -> Any:
        """Runs the statements; gives what they return, or how they end without returning."""
        for i, statement in enumerate(body):
            self.spend()
            try:
                result = self.statement(statement, scope, body[i + 1 :])
            except Silent:
                result = self.poison(statement, scope)
            except (Fail, *PYTHON_ERRORS) as error:
                self.report(error, statement)
                result = self.poison(statement, scope)
            if result is End.REST_DONE:
                return End.FALLS_THROUGH
            if result is not End.FALLS_THROUGH:
                return result
        return End.FALLS_THROUGH

    def poison(self, statement: ast.stmt, scope: Scope) -> Any:
        """Marks the names that a refused statement would have set, so that using them is no second
        mistake."""
        for node in ast.walk(statement):
            self.spend()
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope.names[node.id] = POISON
            elif isinstance(node, ast.ClassDef):
                scope.names[node.name] = POISON
        return POISON if isinstance(statement, ast.Return) else End.FALLS_THROUGH

    def statement(self, node: ast.stmt, scope: Scope, rest: Sequence[ast.stmt]) -> Any:
        match node:
            case ast.Return():
                return self.expr(node.value, scope) if node.value else None
            case ast.Assign():
                value = self.expr(node.value, scope)
                for target in node.targets:
                    self.assign(target, value, scope, node)
            case ast.AnnAssign():
                if node.value is not None:
                    self.assign(node.target, self.expr(node.value, scope), scope, node)
            case ast.AugAssign():
                load = copy.copy(node.target)
                load.ctx = ast.Load()
                old, change = self.sound(load, scope), self.sound(node.value, scope)
                value = binary(self, node.op, old, change)
                self.assign(node.target, value, scope, node)
            case ast.Expr():
                if not isinstance(node.value, ast.Constant) and not _prints(node.value, scope):
                    self.expr(node.value, scope)
            case ast.FunctionDef():
                for decorator in node.decorator_list:
                    if _last_name(decorator) not in DECORATORS:
                        fail = Fail("E_FORM", "a decorator is not in the language", "leave it out")
                        self.report(fail, decorator)
                self.define(node.name, self.function(node, node.name, scope), scope)
            case ast.If():
                return self.branches(node, scope, rest)
            case ast.For():
                return self.loop(node, scope)
            case ast.Import() | ast.ImportFrom():
                self.imports(node, scope)
            case ast.With():
                managers = {_last_name(item.context_expr) for item in node.items}
                if not managers <= {"no_grad", "inference_mode"}:
                    raise Fail("E_FORM", "`with` is not in the language", "leave it out")
                return self.block(node.body, scope)
            case ast.Break():
                return End.BREAK
            case ast.Continue():
                return End.CONTINUE
            case ast.Pass() | ast.Assert():
                pass
            case _:
                raise not_in_language(node)
        return End.FALLS_THROUGH

    def imports(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        for module in modules:
            if (module or "").split(".")[0] not in MODULES:
                raise Fail(
                    "E_IMPORT",
                    f"import of {(module or 'a relative module')[:40]!r}",
                    "leave it out: torch, numpy and math are all there is, "
                    "and the standard library needs no import",
                )
        for alias in node.names:
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.split(".")[0]
                scope.names[name] = Module(MODULES[alias.name.split(".")[0]])
                continue
            module = MODULES[(node.module or "").split(".")[0]]
            if alias.name == "*" and module == "math":
                scope.names |= star()
            elif alias.name == "*" and module in ("torch", "numpy"):
                raise Fail(
                    "E_IMPORT",
                    f"{module}'s names would hide Python's max, min, sum and abs",
                    f"import {module}, and write {module}.exp",
                )
            elif module in ("torch", "numpy", "math"):
                scope.names[alias.asname or alias.name] = self.attribute(Module(module), alias.name)

    def loop(self, node: ast.For, scope: Scope) -> Any:
        for item in self.items(self.sound(node.iter, scope)):
            self.spend(5)
            self.assign(node.target, item, scope, node.target)
            result = self.block(node.body, scope)
            if result is End.BREAK:
                return End.FALLS_THROUGH
            if result not in (End.FALLS_THROUGH, End.CONTINUE):
                return result
        return self.block(node.orelse, scope)

    def branches(self, node: ast.If, scope: Scope, rest: Sequence[ast.stmt]) -> Any:
        """An `if`. On tensors both branches run; where one may return, each runs `rest` too, the
        statements that follow."""
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
        after = rest if any(map(_may_return, (*node.body, *node.orelse))) else ()
        originals = reachable(scope)
        both = []
        for body in (node.body, node.orelse):
            self.spend(len(originals))
            both.append(branch(scope, originals))
            both[-1].end = self.block([*body, *after], both[-1].scope)
        end = Join(self, test, originals, both).merge(scope, node.lineno)
        return End.REST_DONE if after and end is End.FALLS_THROUGH else end

    def inline(self, function: Function, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        if len(self.calls) >= MAX_CALLS:
            raise Fail(
                "E_LIMIT",
                f"functions call each other more than {MAX_CALLS} deep",
                "no recursion: use a `for` loop",
            )
        scope = Scope(function.scope)
        self.calls.append((function, node))
        try:
            scope.names = _bind(function, args, kwargs)
            body = function.node.body
            if not isinstance(body, list):
                return self.expr(body, scope)
            result = self.block(body, scope)
        finally:
            self.calls.pop()
        return None if result is End.FALLS_THROUGH else result


def _bind(function: Function, args: Args, kwargs: Kwargs) -> Kwargs:
    """The arguments of a call by name. Raises Fail."""
    a = function.node.args
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    names = positional + [p.arg for p in a.kwonlyargs]
    usage = f"{function.name}({', '.join(names)})"
    if len(args) > len(positional) and not a.vararg:
        message = f"{function.name}() takes {len(positional)} arguments, not {len(args)}"
        raise Fail("E_ARG", message, usage)
    bound = dict(zip(positional, args, strict=False))
    others: Kwargs = {}
    for key, value in kwargs.items():
        if key not in names and a.kwarg:
            others[key] = value
            continue
        if key not in names or key in bound:
            message = f"{function.name}() has no argument {key!r} left to set"
            raise Fail("E_ARG", message, usage)
        bound[key] = value
    defaults = dict(zip(positional[::-1], function.defaults[::-1], strict=False))
    keyword_only = zip(a.kwonlyargs, function.kw_defaults, strict=True)
    defaults |= {p.arg: d for p, d in keyword_only if d is not NO_DEFAULT}
    for name in names:
        if name not in bound:
            if name not in defaults:
                raise Fail("E_ARG", f"{function.name}() misses the argument {name!r}", usage)
            bound[name] = defaults[name]
    if a.vararg:
        bound[a.vararg.arg] = tuple(args[len(positional) :])
    if a.kwarg:
        bound[a.kwarg.arg] = others
    return bound


def _prints(node: ast.expr, scope: Scope) -> bool:
    """Whether a statement only prints, which has no effect here."""
    call = node.func if isinstance(node, ast.Call) else node
    return isinstance(call, ast.Name) and call.id == "print" and scope.find("print") is None


def _may_return(node: ast.AST) -> bool:
    """Whether a statement holds a `return` of the function that it stands in."""
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        return False
    return isinstance(node, ast.Return) or any(map(_may_return, ast.iter_child_nodes(node)))


def _last_name(node: ast.AST) -> str:
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
