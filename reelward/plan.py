"""What the next `dvc repro` would run, and why.

DVC says which stages changed by themselves. What stands below such a stage runs too if its result
comes out different; whether it will, nobody knows before. What the run-cache knows is restored
instead of run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MODEL = {"propose": "author", "critique": "critic"}
"""stages that may ask a model, and the parameter that says which"""
CONSTANT = {"check"}
"""stages whose result is always the same: what follows them does not run because of them"""

WORDS = {"modified": "changed", "deleted": "is missing", "new": "is new"}


@dataclass(frozen=True)
class Step:
    stage: str
    kind: str
    """training, paid call, or free"""
    certain: bool
    """else it runs only if what it follows comes out different"""
    why: tuple[str, ...]


def plan() -> list[Step]:
    """In the order of running, for the DVC repository of the working directory."""
    import networkx
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of locks that a kill left behind
    with Repo() as repo:
        changed = repo.status()
        graph = repo.index.graph
        order = list(networkx.dfs_postorder_nodes(graph))
        for stage in order:
            if stage.addressing in changed and not any(out.hash_info for out in stage.outs):
                changed[stage.addressing] = ["never run"]
    needs = {s.addressing: [above.addressing for above in graph.successors(s)] for s in order}
    return steps(changed, needs, yaml.safe_load(Path("params.yaml").read_text()))


def steps(
    changed: dict[str, list[Any]], needs: dict[str, list[str]], params: dict[str, Any]
) -> list[Step]:
    """`changed` as `dvc status` gives it; `needs` names for each stage, in the order of running,
    those it reads from."""
    found: dict[str, Step] = {}
    for stage, sources in needs.items():
        name = stage.partition("@")[0]
        follows = [s for s in sources if s in found and s not in CONSTANT]
        if stage in changed:
            why = tuple(reasons(changed[stage]))
        elif follows:
            why = tuple(f"follows {s}" for s in follows)
        else:
            continue
        found[stage] = Step(stage, kind(name, params), stage in changed, why)
    return list(found.values())


def kind(name: str, params: dict[str, Any]) -> str:
    if name == "train":
        return "training"
    choice = MODEL.get(name)
    return "paid call" if choice and params[name][choice] != "measured" else "free"


def reasons(status: list[Any]) -> list[str]:
    """`dvc status` of one stage in words: `train.num_envs changed`. A missing result is worth
    saying only when nothing else is the matter."""
    inputs: list[str] = []
    results: list[str] = []
    for entry in status:
        if isinstance(entry, str):
            inputs.append(entry)
            continue
        for found, paths in entry.items():
            said = inputs if found == "changed deps" else results
            for path, state in paths.items():
                if isinstance(state, dict):
                    said += [f"{key} {WORDS.get(how, how)}" for key, how in state.items()]
                else:
                    said.append(f"{path} {WORDS.get(state, state)}")
    return inputs or results
