"""From the text of a reward to a `Reward`: `compile_reward`."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reelward.language.errors import Diagnostic, Fail, RewardError
from reelward.language.graph import Graph, Tensor
from reelward.language.ops import OPS
from reelward.language.program import NativeTerm
from reelward.language.reward import Reward
from reelward.language.source import parse
from reelward.language.statements import Interpreter
from reelward.language.values import POISON, STATE, Function, Module, Scope, describe
from reelward.sim.field import Field

MAX_TERMS = 32


def compile_reward(
    source: str, fields: Sequence[Field], *, native: Mapping[str, NativeTerm] | None = None
) -> Reward:
    """The reward that `source` describes for a robot with these `fields`.

    `native` holds the user's own functions (`native_terms`), state -> float32 [N], which the text
    may call as `name(s)`. Raises RewardError, with every mistake of the text in `.errors`.
    """
    native = native or {}
    errors: list[Diagnostic] = []
    graph = Graph(fields, tuple(native))
    interpreter = Interpreter(graph, library(), errors)
    terms: dict[str, Tensor] = {}
    constants: dict[str, object] = {}
    try:
        module = Scope(shared=True)
        tree = parse(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about the made-up tensors of the graph
            interpreter.block(tree.body, module)
            terms = _terms(interpreter, module, tree)
        constants = _constants(interpreter, module)
    except (OverflowError, RecursionError, MemoryError) as error:
        deep = isinstance(error, RecursionError)
        message = "nested too deeply" if deep else str(error) or "out of memory"
        hint = "write a shorter reward"
        errors.append(Diagnostic("E_LIMIT", interpreter.line, 0, message, hint))
    if errors:
        raise RewardError(errors)
    lines = {name: _line(interpreter, name, 0) for name in terms}
    return Reward(source, graph, terms, lines, constants, native)


@functools.cache
def library() -> Scope:
    """The standard library: every function of the files in `stdlib/`, compiled like any text."""
    scope = Scope(shared=True)
    scope.names |= {"torch": Module("torch"), "np": Module("numpy"), "math": Module("math")}
    errors: list[Diagnostic] = []
    interpreter = Interpreter(Graph(()), scope, errors)
    for path in library_files():
        interpreter.block(ast.parse(path.read_text(encoding="utf-8")).body, scope)
    if errors:
        raise RewardError(errors)
    return scope


def library_files() -> list[Path]:
    return sorted((Path(__file__).parent / "stdlib").glob("*.py"))


def reward_function(module: Scope, tree: ast.Module) -> Function:
    """The function `reward` of an interpreted text. Raises Fail."""
    function = module.names.get("reward")
    if not isinstance(function, Function):
        names = [s.name for s in tree.body if isinstance(s, ast.FunctionDef)]
        others = f", only {', '.join(names[:5])}" if names else ""
        message = f"there is no `def reward(s)`{others}"
        raise Fail("E_REWARD", message, "name the main function `reward`")
    arguments = function.node.args
    if len(arguments.args) - len(arguments.defaults) != 1:
        raise Fail("E_REWARD", "reward takes one argument, the state", "def reward(s):")
    return function


def _terms(c: Interpreter, module: Scope, tree: ast.Module) -> dict[str, Tensor]:
    """Interprets `reward(s)` and makes each of its terms float32 [N]."""

    def refuse(fail: Fail, line: int) -> None:
        c.errors.append(Diagnostic(fail.code, line, 0, fail.message, fail.hint))

    line = getattr(getattr(module.names.get("reward"), "node", None), "lineno", 0)
    try:
        function = reward_function(module, tree)
        values = _named_values(c, c.inline(function, [STATE], {}, function.node))
    except Fail as fail:
        refuse(fail, line)
        return {}
    terms = {}
    for name, value in values.items():
        if value is POISON:
            continue
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name):
            message = f"{str(name)[:40]!r} is not a term's name"
            refuse(Fail("E_REWARD", message, "letters, digits and _"), line)
            continue
        try:
            terms[name] = _term(c, name, value)
        except Fail as fail:
            refuse(fail, _line(c, name, line))
    return terms


def _named_values(c: Interpreter, result: Any) -> dict[Any, Any]:
    """What `reward` returned, if it is a dict; empty where the reason is reported. Raises Fail."""
    if result is POISON or result is None and c.errors:
        return {}
    if isinstance(result, (tuple, list)) and any(isinstance(r, dict) for r in result):
        hint = "return the dict alone: the total is the sum of its terms"
        raise Fail("E_REWARD", "reward returns more than its terms", hint)
    if not isinstance(result, dict) or not result:
        what = "nothing" if result is None else describe(result)
        hint = 'return {"speed": ..., "upright": ...}; the total is the sum of the terms'
        raise Fail("E_REWARD", f"reward returns {what}, not a dict of named terms", hint)
    if len(result) > MAX_TERMS:
        raise Fail("E_REWARD", f"{len(result)} terms: at most {MAX_TERMS}", "put some together")
    return result


def _term(c: Interpreter, name: str, value: Any) -> Tensor:
    """A term as a tensor float32 [N] of its own memory. Raises Fail."""
    value = c.filled(value)
    if not isinstance(value, Tensor) or value.meta.ndim != 1 or not value.batched:
        hint = "reduce the robot's axes: .sum(dim=-1), or pick a column: x[:, 0]"
        if isinstance(value, Tensor) and value.meta.shape[1:] == (1,):
            hint = "drop the last axis: .squeeze(-1)"
        raise Fail("E_REWARD", f"term {name!r} is {describe(value)}, not [N]", hint)
    if value.dtype != "float32":
        value = c.op("cast", value, "float32")
    return c.op("clone", value) if OPS[c.graph.nodes[value.node].op].view else value


def _line(c: Interpreter, name: str, otherwise: int) -> int:
    """The line that last put something under `name` into a dict."""
    return c.entries[name][-1][0] if name in c.entries else otherwise


def _constants(c: Interpreter, module: Scope) -> dict[str, object]:
    """The module's numbers, words, tuples and dicts as plain Python values."""

    def plain(value: Any) -> Any:
        c.spend()
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, (tuple, list)):
            return tuple(plain(v) for v in value)
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise TypeError

    constants: dict[str, object] = {}
    for name, value in module.names.items():
        try:
            constants[name] = plain(value)
        except TypeError:
            continue
    period = constants.get("PERIOD")
    if isinstance(period, (int, float)) and 0.05 <= period <= 60:
        constants["PERIOD"] = float(period)
    elif "PERIOD" in module.names:
        message = "PERIOD is the gait clock's cycle in seconds, 0.05 to 60"
        c.errors.append(Diagnostic("E_REWARD", 0, 0, message, "PERIOD = 1.2"))
    return constants
