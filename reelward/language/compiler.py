"""From the text of a reward to a `Reward`: `compile_reward`."""

from __future__ import annotations

import ast
import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reelward.language.errors import Diagnostic, Fail, RewardError
from reelward.language.graph import MAX_TOTAL, Graph, Tensor
from reelward.language.main import arguments, check_name, named_values, reward_function
from reelward.language.ops import OPS
from reelward.language.program import NativeTerm
from reelward.language.reward import Reward
from reelward.language.source import parse
from reelward.language.statements import Interpreter
from reelward.language.values import POISON, Module, Scope, describe
from reelward.sim.field import Field


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
    total: Any = None
    constants: dict[str, object] = {}
    try:
        module = Scope(shared=True)
        tree = parse(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about the made-up tensors of the graph
            interpreter.block(tree.body, module)
            terms, total = _terms(interpreter, module, tree)
        constants = _constants(interpreter, module, tree)
    except (OverflowError, RecursionError, MemoryError) as error:
        deep = isinstance(error, RecursionError)
        message = "nested too deeply" if deep else str(error) or "out of memory"
        hint = "write a shorter reward"
        pictures = (f.name for f in fields if math.prod(f.shape) > MAX_TOTAL)
        if name := next((n for n in pictures if f"s.{n}" in source), None):
            hint = (
                f"cut out what counts before computing, s.{name}[:, top:bottom, left:right], or give "
                f"the robot a smaller {name}: `picture: [height, width]` in robot.yaml"
            )
        errors.append(Diagnostic("E_LIMIT", interpreter.line, 0, message, hint))
    if constants.get("PERIOD") is None:
        errors += _unset_clock(graph)
    if errors:
        raise RewardError(errors)
    lines = {name: _line(interpreter, name, 0) for name in terms}
    return Reward(source, graph, terms, lines, constants, native, total)


@functools.cache
def library() -> Scope:
    """The standard library: every function of the files in `stdlib/`, compiled like any text."""
    scope = Scope(shared=True)
    spelt = {"torch": "torch", "F": "torch", "math": "math"}
    spelt |= dict.fromkeys(("np", "numpy", "jnp", "jp"), "numpy")
    scope.names |= {name: Module(module) for name, module in spelt.items()}
    errors: list[Diagnostic] = []
    interpreter = Interpreter(Graph(()), scope, errors)
    for path in library_files():
        interpreter.block(ast.parse(path.read_text(encoding="utf-8")).body, scope)
    if errors:
        raise RewardError(errors)
    return scope


def library_files() -> list[Path]:
    return sorted((Path(__file__).parent / "stdlib").glob("*.py"))


def _terms(c: Interpreter, module: Scope, tree: ast.Module) -> tuple[dict[str, Tensor], Any]:
    """Interprets the reward and makes each of its terms float32 [N]; the total too, if it gives one."""

    def refuse(fail: Fail, line: int) -> None:
        c.errors.append(Diagnostic(fail.code, line, 0, fail.message, fail.hint))

    line, values, total = 0, dict[Any, Any](), None
    try:
        function = reward_function(c, module, tree)
        line = function.node.lineno
        result = c.inline(function, arguments(c, function), {}, function.node)
        values, total = named_values(result, function, refused=bool(c.errors))
        if total is not None and not c.errors:
            total = _term(c, "total", total)
    except Fail as fail:
        refuse(fail, line)
    terms = {}
    for name, value in values.items():
        if value is POISON:
            continue
        try:
            check_name(name, values)
            terms[name] = _term(c, name, value)
        except Fail as fail:
            refuse(fail, _line(c, name, line))
    return terms, total


def _unset_clock(graph: Graph) -> list[Diagnostic]:
    """The mistake of a text that reads the gait clock but does not set it."""
    lines = [n.line for n in graph.nodes if n.op == "input" and n.args == ("phase",)]
    message = (
        "the gait clock stands still: s.phase is read, here or by the library, without a PERIOD"
    )
    hint = "PERIOD = 1.2 at the top of the text: seconds of a gait cycle"
    return [Diagnostic("E_REWARD", line, 0, message, hint) for line in lines]


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


def _constants(c: Interpreter, module: Scope, tree: ast.Module) -> dict[str, object]:
    """The module's numbers, words, tuples and dicts as plain Python values. One that is infinite is a
    mistake where a statement of the text sets it, and else left out."""
    lines = {
        n.id: n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.col_offset == 0
    }

    def plain(value: Any) -> Any:
        c.spend()
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, (tuple, list)):
            return tuple(plain(v) for v in value)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise TypeError

    constants: dict[str, object] = {}
    for name, value in module.names.items():
        try:
            constants[name] = plain(value)
        except TypeError:
            continue
        except ValueError:
            if name in lines:
                message = f"the constant {name} is infinite"
                hint = "write a finite number; clamp needs no bound on an open side"
                c.errors.append(Diagnostic("E_ARG", lines[name], 0, message, hint))
    period = constants.get("PERIOD")
    if isinstance(period, (int, float)) and 0.05 <= period <= 60:
        constants["PERIOD"] = float(period)
    elif "PERIOD" in module.names:
        message = "PERIOD is the gait clock's cycle in seconds, 0.05 to 60"
        line = lines.get("PERIOD", 0)
        c.errors.append(Diagnostic("E_REWARD", line, 0, message, "PERIOD = 1.2"))
    return constants
