"""A reward as the text of one function that needs nothing but torch."""

from __future__ import annotations

import json
import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from reelward.sim.field import Field

WIDTH = 80
"""characters of an expression; the parts of a longer one become variables"""
INFIX = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/",
    operator.floordiv: "//", operator.mod: "%", operator.pow: "**", operator.matmul: "@",
    operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=",
    operator.eq: "==", operator.ne: "!=",
}  # fmt: skip


def plain_torch(
    graph: fx.Graph, terms: Sequence[str], fields: Sequence[Field], period: float | None
) -> str:
    """The text of `reward(s) -> dict[str, Tensor]`, which computes a graph of `program.trace`.

    `terms` are the names of its results, `fields` those that it reads, `period` the gait clock's cycle
    (s). The text runs the same operations, so it gives the same numbers. A native term stays a call of
    its name.
    """
    writer = _Writer(graph, terms)
    results = [
        f'        "{t}": {writer.bare(n)},' for t, n in zip(terms, writer.results, strict=True)
    ]
    device = [
        f"    device = s[{json.dumps(f.name)}].device" for f in fields[:1] if writer.constants
    ]
    return "\n".join(
        [
            "import torch",
            "from torch import Tensor",
            "",
            "",
            "def reward(s: dict[str, Tensor]) -> dict[str, Tensor]:",
            '    """The terms of the reward for N environments, each float32 [N]; their sum is the reward.',
            "",
            "    It reads:",
            *[f"    {line}" for f in fields for line in _described(f, period)],
            '    """',
            *device,
            *writer.lines,
            "    return {",
            *results,
            "    }",
            "",
        ]
    )


def _described(field: Field, period: float | None) -> list[str]:
    shape = ", ".join(["N", *map(str, field.shape)])
    lines = [
        f"    s[{json.dumps(field.name)}]  {field.dtype} [{shape}], {field.unit}: {field.meaning}"
    ]
    if field.name == "phase" and period:
        lines.append(f"        the cycle takes {period:g} s")
    if field.names:
        lines.append(f"        columns {', '.join(field.names)}")
    return [line.replace("\\", "/").replace('"""', "'''") for line in lines]


class _Writer:
    """Writes the nodes of a graph as expressions; one that is used again becomes a variable."""

    def __init__(self, graph: fx.Graph, terms: Sequence[str]) -> None:
        nodes = list(graph.nodes)
        self.results: Sequence[Any] = nodes[-1].args[0]
        self.lines: list[str] = []
        self.constants = 0
        self._uses = Counter(self.results)
        for node in nodes[:-1]:
            fx.node.map_arg((node.args, node.kwargs), lambda n: self._uses.update([n]))
        self._owner = self._owners(nodes, terms)
        self._numbers: Counter[str] = Counter()
        self._texts: dict[fx.Node, str] = {}
        self._whole: set[fx.Node] = set()
        """nodes whose text stands in an expression without brackets"""
        for node in nodes[:-1]:
            self._write(node)

    def bare(self, node: fx.Node) -> str:
        return self._texts[node]

    def _owners(self, nodes: Sequence[fx.Node], terms: Sequence[str]) -> dict[fx.Node, str]:
        """The term that alone needs a node, or `shared`."""
        owner: dict[fx.Node, str] = {}
        for term, result in zip(terms, self.results, strict=True):
            owner[result] = "shared" if result in owner else term
        for node in reversed(nodes[:-1]):
            for user in node.users:
                if user in owner and user.op != "output":
                    same = owner.get(node, owner[user]) == owner[user]
                    owner[node] = owner[user] if same else "shared"
        return owner

    def _write(self, node: fx.Node) -> None:
        text, whole = self._expression(node)
        if len(text) > WIDTH:
            for part in node.all_input_nodes:
                if part not in self._whole and len(self._texts[part]) > WIDTH // 4:
                    self._name(part)
            text, whole = self._expression(node)
        self._texts[node] = text
        if whole:
            self._whole.add(node)
        if self._uses[node] > 1 and not _is_view(node):
            self._name(node)

    def _name(self, node: fx.Node) -> None:
        """Puts the value of a node into a variable."""
        owner = self._owner.get(node, "shared")
        self._numbers[owner] += 1
        name = f"{owner}_{self._numbers[owner]}"
        self.lines.append(f"    {name} = {self._texts[node]}")
        self._texts[node] = name
        self._whole.add(node)

    def _expression(self, node: fx.Node) -> tuple[str, bool]:
        """The text of a node, and whether it can stand in another without brackets."""
        if node.op == "placeholder":
            return self._placeholder(node)
        args = [self._argument(a) for a in node.args]
        if node.target in INFIX:
            left, right = (self._operand(a) for a in node.args)
            return f"{left} {INFIX[node.target]} {right}", False
        if node.target is operator.getitem:
            return f"{self._operand(node.args[0])}[{args[1]}]", True
        if node.target is getattr:
            return f"{self._operand(node.args[0])}.{node.args[1]}", True
        if (index := _index(node)) is not None:
            base = self._operand(node.args[0])
            inner = node.args[0]
            if isinstance(inner, fx.Node) and _name(inner) == "torch.select" and inner.args[1] == 1:
                if node.args[1] == 1 and base.endswith("]"):
                    return f"{base[:-1]}, {index}]", True
            return f"{base}[{':, ' * int(str(node.args[1]))}{index}]", True
        args += [f"{k}={self._argument(v)}" for k, v in node.kwargs.items() if v is not None]
        if node.op == "call_method":
            return f"{self._operand(node.args[0])}.{node.target}({', '.join(args[1:])})", True
        return f"{_name(node)}({', '.join(args)})", True

    def _placeholder(self, node: fx.Node) -> tuple[str, bool]:
        source = node.meta.get("source")
        if source is None:
            return "s", True
        if source.op == "input":
            return f"s[{json.dumps(source.args[0])}]", True
        self.constants += 1
        return f"torch.tensor({source.args[0]!r}, device=device)", True

    def _argument(self, arg: Any) -> str:
        if isinstance(arg, fx.Node):
            return self._texts[arg]
        if isinstance(arg, (tuple, list)):
            parts = ", ".join(map(self._argument, arg))
            return f"({parts},)" if len(arg) == 1 else f"({parts})"
        return repr(arg)

    def _operand(self, arg: Any) -> str:
        text = self._argument(arg)
        plain = arg in self._whole if isinstance(arg, fx.Node) else not text.startswith("-")
        return text if plain else f"({text})"


def _index(node: fx.Node) -> str | None:
    """What stands in brackets for an operation that picks a part of an axis."""
    if _name(node) == "torch.select":
        return str(node.args[2])
    if _name(node) == "torch.narrow":
        start, length = int(str(node.args[2])), int(str(node.args[3]))
        return f"{start}:{start + length}"
    return None


def _is_view(node: fx.Node) -> bool:
    """A field or constant, or a part of a field: short enough to be written each time."""
    if node.op == "placeholder" or node.target is getattr:
        return True
    return _index(node) is not None and _is_view(node.args[0])  # type: ignore[arg-type]


def _name(node: fx.Node) -> str:
    """The public name of the function that a node calls."""
    if node.op != "call_function" or node.target in INFIX:
        return ""
    name: str = node.target.__name__  # type: ignore[union-attr]
    for module in (torch, torch.nn.functional, torch.linalg):
        short = name.removeprefix("linalg_")
        if getattr(module, short, None) is node.target:
            return f"{module.__name__}.{short}"
    return name
