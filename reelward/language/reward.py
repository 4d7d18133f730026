"""From a text to a reward that can be called: `compile_reward`."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reelward.language.errors import Diagnostic, Fail, RewardError
from reelward.language.graph import Graph, Node, Tensor, run_on
from reelward.language.interpret import FELL, Interpreter
from reelward.language.ops import OPS
from reelward.language.values import POISON, STATE, Function, Module, Scope, describe, is_number
from reelward.sim.field import Field

VERSION = 1
MAX_SOURCE = 16 * 1024
MAX_BRACKETS = 40
MAX_TERMS = 32

Native = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
Instruction = tuple[Callable[..., Any], int, tuple[int, ...]]
"""what to run, the register of its result, the registers of its arguments"""


class Reward:
    """A compiled reward: `reward(state)` gives its terms, each float32 [N]; their sum is the reward.

    The tensors of a result are new, and two terms of it may be the same tensor: do not write into them.
    """

    def __init__(
        self,
        source: str,
        graph: Graph,
        terms: Mapping[str, Tensor],
        lines: Mapping[str, int],
        constants: dict[str, Any],
        native: Mapping[str, Native],
    ) -> None:
        self.source = source
        self.constants = constants
        self.period: float | None = constants.get("PERIOD")
        """the gait clock's cycle, s"""
        self.nodes, self._outputs = _reachable(graph, terms)
        self.terms = tuple(terms)
        self.lines = dict(lines)
        """term -> the line that computes it"""
        read = {n.args[0] for n in self.nodes if n.op == "input"}
        self.inputs = frozenset(graph.fields if any(n.op == "native" for n in self.nodes) else read)
        """the fields it reads"""
        self.graph = {
            "version": VERSION, "period": self.period, "terms": self._outputs,
            "fields": {name: list(graph.fields[name].shape) for name in sorted(self.inputs)},
            "nodes": [[n.op, list(n.args), n.line] for n in self.nodes],
        }  # fmt: skip
        """the graph as JSON"""
        self.digest = hashlib.sha256(canonical([source, self.graph]).encode()).hexdigest()
        self._native = dict(native)
        self._assemble()

    def _assemble(self) -> None:
        """Lowers the graph to registers and a flat list of instructions; first native terms and
        columns of inputs, which no compiler looks into."""
        nodes = self.nodes
        columns = set[int]()
        for i, node in enumerate(nodes):
            if node.op == "native" or (
                node.op in ("select", "narrow")
                and (_refs(node)[0] in columns or nodes[_refs(node)[0]].op == "input")
            ):
                columns.add(i)
        order = sorted(range(len(nodes)), key=lambda i: (i not in columns, i))
        last = {ref: step for step, i in enumerate(order) for ref in _refs(nodes[i])}
        last |= dict.fromkeys(self._outputs.values(), len(order))
        registers: list[Any] = [None]  # 0: the state itself
        place = {
            i: k
            for k, i in enumerate(
                (i for i, n in enumerate(nodes) if n.op in ("input", "const")), start=1
            )
        }
        registers += [
            run_on(OPS["const"], nodes[i].args) if nodes[i].op == "const" else None for i in place
        ]
        self._inputs = [(place[i], nodes[i].args[0]) for i in place if nodes[i].op == "input"]
        free: list[int] = []
        program: list[Instruction] = []
        for step, i in enumerate(order):
            if i in place:
                continue
            node, args = nodes[i], [0]
            if node.op == "native":
                run: Callable[..., Any] = _checked(node.args[0], self._native[node.args[0]])
            else:
                run, args = OPS[node.op].run, []
                for arg in node.args:
                    if isinstance(arg, dict):
                        args.append(place[arg["ref"]])
                    else:
                        registers.append(tuple(arg) if isinstance(arg, list) else arg)
                        args.append(len(registers) - 1)
            if free:
                place[i] = free.pop()
            else:
                place[i] = len(registers)
                registers.append(None)
            program.append((run, place[i], tuple(args)))
            free += [
                place[r]
                for r in set(_refs(node))
                if last[r] == step and i not in columns and nodes[r].op not in ("input", "const")
            ]
        self._columns, self._body = program[: len(columns)], program[len(columns) :]
        self._results = [place[i] for i in self._outputs.values()]
        self._registers: dict[torch.device, list[Any]] = {torch.device("cpu"): registers}

    def _loaded(self, state: Mapping[str, torch.Tensor]) -> list[Any]:
        values = [state[name] for _, name in self._inputs]
        device = (values or list(state.values()))[0].device
        if device not in self._registers:
            self._registers[device] = [
                r.to(device) if isinstance(r, torch.Tensor) else r
                for r in self._registers[torch.device("cpu")]
            ]
        registers = self._registers[device].copy()
        registers[0] = state
        for (place, _), value in zip(self._inputs, values, strict=True):
            registers[place] = value
        return registers

    def means(self, state: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean of each term over N states that are given as arrays `[N, *shape]`."""
        tensors = {name: torch.as_tensor(x, dtype=torch.float32) for name, x in state.items()}
        return {name: float(value.mean()) for name, value in self(tensors).items()}

    def __call__(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        registers = self._loaded(state)
        _run(self._columns, registers)
        _run(self._body, registers)
        return dict(zip(self.terms, [registers[place] for place in self._results], strict=True))

    def compiled(self) -> Callable[[Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]:
        """The same reward through torch's compiler: seconds to start, for each number of
        environments again, then several times faster.

        The columns that it reads are copied side by side first: on a CPU the compiler's kernels use
        vector instructions on such columns only. The graph goes to Inductor as it is: Dynamo would
        read this Python first, look at it again at every call, and take the code of one reward for
        another's of the same shapes.
        """
        from torch._inductor import compile as inductor  # slow to import
        from torch.fx.experimental.proxy_tensor import make_fx

        first = {place for _, place, _ in self._columns}
        read = {place for _, _, args in self._body for place in args}
        held = sorted(read & (first | {place for place, _ in self._inputs}))
        made: dict[tuple[torch.device, int], Callable[..., Sequence[torch.Tensor]]] = {}

        def body(*values: torch.Tensor) -> list[torch.Tensor]:
            registers = self._registers[values[0].device].copy()
            for place, value in zip(held, values, strict=True):
                registers[place] = value
            _run(self._body, registers)
            return [registers[place] for place in self._results]

        def call(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            registers = self._loaded(state)
            _run(self._columns, registers)
            values = [
                _side_by_side(registers[place]) if place in first else registers[place]
                for place in held
            ]
            size = values[0].device, len(values[0])
            if size not in made:
                made[size] = inductor(make_fx(body)(*values), values)
            return dict(zip(self.terms, made[size](*values), strict=True))

        return call


def _side_by_side(x: torch.Tensor) -> torch.Tensor:
    """`x` with the numbers of all environments adjacent in memory."""
    return x.contiguous() if x.ndim == 1 else x.movedim(0, -1).contiguous().movedim(-1, 0)


def _run(program: Sequence[Instruction], registers: list[Any]) -> None:
    load = registers.__getitem__
    for run, place, args in program:
        registers[place] = run(*map(load, args))


def compile_reward(
    source: str, fields: Sequence[Field], *, native: Mapping[str, Native] | None = None
) -> Reward:
    """The reward that `source` describes for a robot with these `fields`.

    `native` holds the user's own functions (`native_terms`), state -> float32 [N], which the text
    may call as `name(s)`. Raises RewardError, with every mistake of the text in `.errors`.
    """
    native = native or {}
    errors: list[Diagnostic] = []
    graph = Graph(fields, tuple(native))
    interpreter = Interpreter(graph, library(), errors)
    module = Scope(shared=True)
    try:
        tree = parse(source)
        interpreter.block(tree.body, module)
        terms = _terms(interpreter, module, tree)
        constants = _constants(interpreter, module)
    except (OverflowError, RecursionError, MemoryError) as error:
        deep = isinstance(error, RecursionError)
        errors.append(
            Diagnostic(
                "E_LIMIT",
                interpreter.line,
                0,
                "nested too deeply" if deep else str(error) or "out of memory",
                "write a shorter reward",
            )
        )
        terms, constants = {}, {}
    if errors:
        raise RewardError(errors)
    lines = {name: interpreter.entries.get(name, 0) for name in terms}
    return Reward(source, graph, terms, lines, constants, native)


def parse(source: str) -> ast.Module:
    """The syntax tree. Only comments and words may hold more than ASCII. Raises RewardError."""

    def refuse(code: str, line: int, col: int, message: str, hint: str = "") -> RewardError:
        return RewardError([Diagnostic(code, line, col, message, hint)])

    if len(source.encode("utf-8", "replace")) > MAX_SOURCE:
        raise refuse(
            "E_LIMIT",
            0,
            0,
            f"the text is longer than {MAX_SOURCE // 1024} KiB",
            "write a shorter reward",
        )
    depth = 0
    for char in source:
        depth = depth + 1 if char in "([{" else max(0, depth - 1) if char in ")]}" else depth
        if depth > MAX_BRACKETS:
            raise refuse("E_LIMIT", 0, 0, f"brackets nested deeper than {MAX_BRACKETS}")
    text = source.encode("ascii", "replace").decode("ascii")  # as long as before: columns stay
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        line, col = error.lineno or 0, error.offset or 0
        here = source.splitlines()[line - 1 : line]
        foreign = next((c for c in (here or [""])[0] if ord(c) > 127), None)
        hint = f"write {foreign!r} in plain ASCII" if foreign else "answer with Python code alone"
        raise refuse("E_SYNTAX", line, col, str(error.msg)[:120], hint) from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise refuse(
            "E_LIMIT",
            0,
            0,
            "the text cannot be parsed: nested too deeply, a number too long, or a zero byte",
        ) from error


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


def _terms(c: Interpreter, module: Scope, tree: ast.Module) -> dict[str, Tensor]:
    """Interprets `reward(s)` and makes each of its terms float32 [N]."""
    function = module.names.get("reward")
    if not isinstance(function, Function):
        defined = [s.name for s in tree.body if isinstance(s, ast.FunctionDef)]
        _refuse(
            c,
            None,
            f"there is no `def reward(s)`, only {', '.join(defined[:5])}"
            if defined
            else "there is no `def reward(s)`",
            "name the main function `reward`",
        )
        return {}
    node = function.node
    required = len(node.args.args) - len(node.args.defaults)
    if required != 1:
        _refuse(c, node, "reward takes one argument, the state", "def reward(s):")
        return {}
    result = c.inline(function, [STATE], {}, node)
    if isinstance(result, (tuple, list)) and any(isinstance(r, dict) for r in result):
        _refuse(
            c,
            node,
            "reward returns more than its terms",
            "return the dict alone: the total is the sum of its terms",
        )
    elif not isinstance(result, dict) or not result:
        if result is not POISON and not (result is None and c.errors):
            what = "nothing" if result in (None, FELL) else describe(result)
            _refuse(
                c,
                node,
                f"reward returns {what}, not a dict of named terms",
                'return {"speed": ..., "upright": ...}; the total is the sum of the terms',
            )
    elif len(result) > MAX_TERMS:
        _refuse(c, node, f"{len(result)} terms: at most {MAX_TERMS}", "put some together")
    else:
        return {
            name: term
            for name, value in result.items()
            if (term := _term(c, node, name, value)) is not None
        }
    return {}


def _term(
    c: Interpreter, node: ast.FunctionDef | ast.Lambda, name: Any, value: Any
) -> Tensor | None:
    if value is POISON:
        return None
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name):
        _refuse(c, node, f"{str(name)[:40]!r} is not a term's name", "letters, digits and _")
        return None
    try:
        value = c.filled(value) if is_number(value) else value
        if not isinstance(value, Tensor) or value.meta.ndim != 1 or not value.batched:
            hint = "reduce the robot's axes: .sum(dim=-1), or pick a column: x[:, 0]"
            if isinstance(value, Tensor) and value.meta.shape[1:] == (1,):
                hint = "drop the last axis: .squeeze(-1)"
            raise Fail("E_REWARD", f"term {name!r} is {describe(value)}, not [N]", hint)
        if value.dtype != "float32":
            value = c.op("cast", value, "float32")
        return c.op("clone", value) if _is_view(c.graph, value) else value
    except Fail as fail:
        line = c.entries.get(name, node.lineno)
        c.errors.append(Diagnostic(fail.code, line, 0, fail.message, fail.hint))
        return None


def _is_view(graph: Graph, tensor: Tensor) -> bool:
    node = graph.nodes[tensor.node]
    return OPS[node.op].view


def _refuse(c: Interpreter, node: ast.AST | None, message: str, hint: str) -> None:
    c.errors.append(Diagnostic("E_REWARD", getattr(node, "lineno", 0), 0, message, hint))


def _constants(c: Interpreter, module: Scope) -> dict[str, Any]:
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

    constants = {}
    for name, value in module.names.items():
        try:
            constants[name] = plain(value)
        except TypeError:
            continue
    period = constants.get("PERIOD")
    if isinstance(period, (int, float)) and 0.05 <= period <= 60:
        constants["PERIOD"] = float(period)
    elif "PERIOD" in module.names:
        _refuse(c, None, "PERIOD is the gait clock's cycle in seconds, 0.05 to 60", "PERIOD = 1.2")
    return constants


def _refs(node: Node) -> list[int]:
    return [a["ref"] for a in node.args if isinstance(a, dict)]


def _reachable(graph: Graph, terms: Mapping[str, Tensor]) -> tuple[list[Node], dict[str, int]]:
    """The nodes that the terms need, numbered anew."""
    open_, needed = [t.node for t in terms.values()], set[int]()
    while open_:
        node = open_.pop()
        if node not in needed:
            needed.add(node)
            open_ += _refs(graph.nodes[node])
    number = {old: new for new, old in enumerate(sorted(needed))}
    nodes = [
        Node(
            n.op,
            tuple({"ref": number[a["ref"]]} if isinstance(a, dict) else a for a in n.args),
            n.line,
        )
        for n in (graph.nodes[i] for i in sorted(needed))
    ]
    return nodes, {name: number[t.node] for name, t in terms.items()}


def _checked(name: str, function: Native) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
    """`function`, of which any fault is a RewardError that names it."""

    def call(state: Mapping[str, torch.Tensor]) -> torch.Tensor:
        try:
            result = function(state)
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise _native_fault(name, f"raised {why}", "mend the function") from error
        n = len(next(iter(state.values())))
        if not isinstance(result, torch.Tensor):
            raise _native_fault(name, f"gave {type(result).__name__}", f"return float32 [{n}]")
        if result.shape != (n,) or result.dtype != torch.float32:
            got = f"{list(result.shape)} {result.dtype}"
            raise _native_fault(name, f"gave {got}", f"return float32 [{n}]")
        return result

    return call


def _native_fault(name: str, what: str, hint: str) -> RewardError:
    return RewardError([Diagnostic("E_CONTRACT", 0, 0, f"native term {name!r} {what}", hint)])


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
