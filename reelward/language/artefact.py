"""A compiled reward as a file: its source, its graph and a digest over both, all JSON.

Nothing of it is trusted: the loader checks each node against the table and the types as the compiler
does, compiles the source again, and takes the file only when both come to the same graph.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reelward.language.errors import Diagnostic, Fail, RewardError
from reelward.language.graph import Graph
from reelward.language.ops import OPS
from reelward.language.reward import Native, Reward, compile_reward
from reelward.sim.field import Field

MAX_BYTES = 1 << 20


def dump(reward: Reward) -> str:
    parts = {"source": reward.source, "graph": reward.graph, "sha256": reward.digest}
    return json.dumps(parts, indent=1, sort_keys=True, allow_nan=False) + "\n"


def load(
    text: str, fields: Sequence[Field], *, native: Mapping[str, Native] | None = None
) -> Reward:
    """The reward of `dump`. Raises RewardError (E_FILE) for anything else."""
    try:
        if len(text) > MAX_BYTES:
            raise Fail("E_FILE", f"larger than {MAX_BYTES} bytes")
        parts = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if not isinstance(parts, dict) or parts.keys() != {"source", "graph", "sha256"}:
            raise Fail("E_FILE", "a compiled reward holds source, graph and sha256")
        if not isinstance(parts["source"], str):
            raise Fail("E_FILE", "the source is not text")
        check_graph(parts["graph"], fields, tuple(native or ()))
    except Fail as fail:
        raise RewardError([Diagnostic("E_FILE", 0, 0, fail.message, fail.hint)]) from fail
    except (ValueError, RecursionError, OverflowError) as error:
        raise RewardError([Diagnostic("E_FILE", 0, 0, "not the JSON of a reward")]) from error
    reward = compile_reward(parts["source"], fields, native=native)
    if reward.graph != parts["graph"] or reward.digest != parts["sha256"]:
        raise RewardError(
            [
                Diagnostic(
                    "E_FILE",
                    0,
                    0,
                    f"its source compiles to {reward.digest[:12]}, not to what it holds",
                    "compile the source again: it was changed, or this is another robot or version",
                )
            ]
        )
    return reward


def check_graph(graph: Any, fields: Sequence[Field], native: Sequence[str] = ()) -> None:
    """Raises Fail or OverflowError unless every node may be computed and every term is [N]."""
    if not isinstance(graph, dict) or graph.keys() != {
        "version",
        "period",
        "terms",
        "fields",
        "nodes",
    }:
        raise Fail("E_FILE", "a graph holds version, period, terms, fields and nodes")
    built = Graph(fields, native)
    nodes = graph["nodes"] if isinstance(graph["nodes"], list) else [None]
    for i, node in enumerate(nodes):
        match node:
            case [str(op), list(args), int()] if op in OPS and len(args) <= 4096:
                made = built.add(op, *[_argument(built, a) for a in args])
                if made.node != i or len(built.nodes) != i + 1:
                    raise Fail("E_FILE", f"node {i} ({op}) stands for more or less than itself")
            case _:
                raise Fail("E_FILE", f"node {i} is not in the table of operations")
    terms = graph["terms"]
    if not isinstance(terms, dict) or not terms:
        raise Fail("E_FILE", "there are no terms")
    for name, node in terms.items():
        if (
            type(node) is not int
            or not 0 <= node < len(nodes)
            or built.tensors[node].meta.ndim != 1
            or not built.tensors[node].batched
            or built.tensors[node].dtype != "float32"
        ):
            raise Fail("E_FILE", f"term {name[:40]!r} is not a node that is float32 [N]")


def _argument(graph: Graph, arg: Any) -> Any:
    if not isinstance(arg, dict):
        return arg
    ref = arg.get("ref")
    if arg.keys() != {"ref"} or type(ref) is not int or not 0 <= ref < len(graph.tensors):
        raise Fail("E_FILE", "an argument refers to no earlier node")
    return graph.tensors[ref]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
