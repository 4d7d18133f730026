"""A compiled reward: the graph of a text as a function that can be called on states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from reelward.language.errors import Diagnostic, RewardError
from reelward.language.graph import Graph, Node, Ref, Tensor, run_on
from reelward.language.ops import OPS
from reelward.language.program import Program

VERSION = 1

NativeTerm = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
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
        native: Mapping[str, NativeTerm],
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
        checked = {name: _checked(name, function) for name, function in native.items()}
        self.program = Program(self.nodes, list(self._outputs.values()), checked)

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
                    if isinstance(arg, Ref):
                        args.append(place[arg.node])
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


def _run(program: Sequence[Instruction], registers: list[Any]) -> None:
    load = registers.__getitem__
    for run, place, args in program:
        registers[place] = run(*map(load, args))


def _refs(node: Node) -> list[int]:
    return [a.node for a in node.args if isinstance(a, Ref)]


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
            tuple(Ref(number[a.node]) if isinstance(a, Ref) else a for a in n.args),
            n.line,
        )
        for n in (graph.nodes[i] for i in sorted(needed))
    ]
    return nodes, {name: number[t.node] for name, t in terms.items()}


def _checked(
    name: str, function: NativeTerm
) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
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
    def reference(ref: Ref) -> dict[str, int]:
        return {"ref": ref.node}

    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=reference
    )
