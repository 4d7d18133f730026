"""The graph of a reward as one Python function, which torch.fx writes.

Each operation of the table is traced with torch.fx, so the result is an `fx.Graph` of plain torch calls.
Its generated function runs the same operations in the same order, and drops each tensor in between after
its last use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from reelward.language.graph import Node, Ref
from reelward.language.ops import DTYPES, OPS

State = Mapping[str, torch.Tensor]
NativeTerm = Callable[[State], torch.Tensor]


class Program:
    """Computes the nodes `outputs` of a graph from a state."""

    def __init__(
        self, nodes: Sequence[Node], outputs: Sequence[int], native: Mapping[str, NativeTerm]
    ) -> None:
        self.graph = trace(nodes, outputs, native)
        # The generated function itself: calling the module would add the cost of its hooks.
        self._function = fx.GraphModule(torch.nn.Module(), self.graph).forward
        self._fields = [n.args[0] for n in nodes if n.op == "input"]
        constants = [
            torch.tensor(n.args[0], dtype=DTYPES[n.args[1]]) for n in nodes if n.op == "const"
        ]
        self._constants = {torch.device("cpu"): constants}

    def __call__(self, state: State) -> Sequence[torch.Tensor]:
        values = [state[name] for name in self._fields]
        device = (values or list(state.values()))[0].device
        if device not in self._constants:
            cpu = self._constants[torch.device("cpu")]
            self._constants[device] = [x.to(device) for x in cpu]
        return self._function(state, *values, *self._constants[device])


def trace(
    nodes: Sequence[Node], outputs: Sequence[int], native: Mapping[str, NativeTerm]
) -> fx.Graph:
    """The nodes as plain torch calls. Placeholders: the state, each field read, each constant; the last
    two have their node as `meta["source"]`."""
    graph = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(graph)

    def placeholder(name: str, source: Node | None = None) -> fx.Proxy:
        node = graph.placeholder(name)
        node.meta["source"] = source
        return fx.Proxy(node, tracer)

    state = placeholder("state")
    given = {
        i: placeholder(f"{kind}_{i}", node)
        for kind in ("input", "const")
        for i, node in enumerate(nodes)
        if node.op == kind
    }
    values: list[fx.Proxy] = []
    for i, node in enumerate(nodes):
        if i in given:
            values.append(given[i])
        elif node.op == "native":
            call = graph.call_function(native[node.args[0]], (state.node,))
            values.append(fx.Proxy(call, tracer))
        else:
            args = [_argument(arg, values) for arg in node.args]
            run = OPS[node.op].run
            if node.op == "pow" and not isinstance(args[0], fx.Proxy) and args[0] < 0:
                run = torch.pow  # torch.fx writes -3 ** x, which is -(3 ** x)
            values.append(run(*args))
    graph.output(tuple(values[i].node for i in outputs))
    return graph


def _argument(arg: Any, values: Sequence[fx.Proxy]) -> Any:
    if isinstance(arg, Ref):
        return values[arg.node]
    return tuple(arg) if isinstance(arg, list) else arg  # torch takes no lists of axes
