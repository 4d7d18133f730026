"""A compiled reward: the graph of a text as a function that can be called on states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

import torch

from reelward.language.errors import Diagnostic, RewardError
from reelward.language.graph import Graph, Node, Ref, Tensor
from reelward.language.plain_torch import plain_torch
from reelward.language.program import NativeTerm, Program, State


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
        constants: Mapping[str, object],
        native: Mapping[str, NativeTerm],
        total: Tensor | None = None,
    ) -> None:
        self.source = source
        self.constants = constants
        period = constants.get("PERIOD")
        self.period = period if isinstance(period, float) else None
        """the gait clock's cycle, s"""
        self.nodes, self.outputs = _needed(graph, terms)
        """the graph, and for each term the index of its node in it"""
        self.terms = tuple(terms)
        self.lines = dict(lines)
        """term -> the line that computes it"""
        read = {n.args[0] for n in self.nodes if n.op == "input"}
        self.native = tuple(dict.fromkeys(n.args[0] for n in self.nodes if n.op == "native"))
        """the native terms that it calls"""
        self.inputs = frozenset(graph.fields if self.native else read)
        """the fields it reads"""
        self.fields = tuple(f for name, f in graph.fields.items() if name in self.inputs)
        self.digest = self._digest({f.name: f.shape for f in self.fields})
        checked = {name: _checked(name, native[name]) for name in self.native}
        self._program = Program(self.nodes, tuple(self.outputs.values()), checked)
        self._total = (graph, total, native) if total is not None else None

    def __call__(self, state: State) -> dict[str, torch.Tensor]:
        return dict(zip(self.terms, self._program(state), strict=True))

    def stated_total(self, state: State) -> torch.Tensor | None:
        """The total `[N]` that the text gives beside its terms, if it does; their sum is what counts."""
        if self._total is None:
            return None
        graph, total, native = self._total
        nodes, outputs = _needed(graph, {"total": total})
        return Program(nodes, tuple(outputs.values()), native)(state)[0]

    def as_torch(self) -> str:
        """The reward as the text of one function `reward(s) -> dict[str, Tensor]` that needs nothing
        but torch, and the native terms that it calls, by their names."""
        return plain_torch(self._program.graph, self.terms, self.fields, self.period)

    def _digest(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """SHA-256 of the text and of what it compiled to."""
        nodes = [[n.op, n.args] for n in self.nodes]
        parts = [self.source, self.period, self.outputs, shapes, nodes]

        def reference(ref: Ref) -> dict[str, int]:
            return {"ref": ref.node}

        text = json.dumps(parts, sort_keys=True, allow_nan=False, default=reference)
        return hashlib.sha256(text.encode()).hexdigest()


def _needed(graph: Graph, terms: Mapping[str, Tensor]) -> tuple[list[Node], dict[str, int]]:
    """The nodes that the terms need, numbered anew, and the number of each term's node."""
    pending, needed = [t.node for t in terms.values()], set[int]()
    while pending:
        index = pending.pop()
        if index not in needed:
            needed.add(index)
            pending += [arg.node for arg in graph.nodes[index].args if isinstance(arg, Ref)]
    number = {old: new for new, old in enumerate(sorted(needed))}

    def renumbered(node: Node) -> Node:
        args = (Ref(number[a.node]) if isinstance(a, Ref) else a for a in node.args)
        return Node(node.op, tuple(args), node.line)

    nodes = [renumbered(graph.nodes[index]) for index in number]
    return nodes, {name: number[t.node] for name, t in terms.items()}


def _checked(name: str, function: NativeTerm) -> Callable[[State], torch.Tensor]:
    """`function` with each of its faults as a RewardError that names it."""

    def fault(what: str, hint: str) -> RewardError:
        return RewardError([Diagnostic("E_CONTRACT", 0, 0, f"native term {name!r} {what}", hint)])

    def call(state: State) -> torch.Tensor:
        try:
            result = function(state)
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise fault(f"raised {why}", "mend the function") from error
        n = len(next(iter(state.values())))
        if not isinstance(result, torch.Tensor):
            raise fault(f"gave {type(result).__name__}", f"return float32 [{n}]")
        if result.shape != (n,) or result.dtype != torch.float32:
            raise fault(f"gave {list(result.shape)} {result.dtype}", f"return float32 [{n}]")
        return result

    call.__name__ = name
    return call
