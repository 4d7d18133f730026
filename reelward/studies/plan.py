"""What the next `dvc repro` would run, and why.

DVC says which stages changed by themselves. What stands below such a stage runs too if its result
comes out different; whether it will, nobody knows before. What the run-cache knows is restored
instead of run.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reelward.records import ASK_A_MODEL

MODEL = {
    "describe": ("critique", "critic"),
    "propose": ("propose", "author"),
    "critique": ("critique", "critic"),
}
"""stages that may ask a model, and the parameter that says whether they do"""
CONSTANT = {"check"}
"""stages whose result is always the same: what follows them does not run because of them"""

LOCK = Path("dvc.lock")
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
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of locks that a kill left behind
    with Repo() as repo:
        status = repo.status()
        graph = repo.index.graph
        order = list(networkx.dfs_postorder_nodes(graph))
        changed = {}
        locked: Any = yaml.safe_load(LOCK.read_text()) if LOCK.is_file() else {}
        for stage in (s for s in order if s.addressing in status):
            settings = [d for d in stage.deps if isinstance(d, ParamsDependency)]
            changed[stage.addressing] = ["never run"]
            if any(out.hash_info for out in stage.outs):
                said = [c for d in settings for c in changes(d.hash_info.value, d.read_params())]
                known = {c.partition(" ")[0].rpartition(".")[2] for c in said}
                was = options(locked["stages"][stage.addressing]["cmd"])
                given = {k: v for k, v in options(stage.cmd).items() if k not in known}
                said += changes({k: was.get(k) for k in given}, given)
                changed[stage.addressing] = said + reasons(status[stage.addressing])
    needs = {s.addressing: [above.addressing for above in graph.successors(s)] for s in order}
    return steps(changed, needs, yaml.safe_load(Path("params.yaml").read_text()))


def steps(
    changed: dict[str, list[str]], needs: dict[str, list[str]], params: dict[str, Any]
) -> list[Step]:
    """`changed` has the reasons of the stages that changed by themselves; `needs` names for each
    stage, in the order of running, those it reads from."""
    found: dict[str, Step] = {}
    for stage, sources in needs.items():
        name = stage.partition("@")[0]
        follows = [s for s in sources if s in found and s not in CONSTANT]
        if stage in changed:
            why = tuple(changed[stage])
        elif follows:
            why = tuple(f"follows {s}" for s in follows)
        else:
            continue
        found[stage] = Step(stage, kind(name, params), stage in changed, why)
    return list(found.values())


def kind(name: str, params: dict[str, Any]) -> str:
    if name == "train":
        return "training"
    section, key = MODEL.get(name, ("", ""))
    return "paid call" if section and params[section][key] in ASK_A_MODEL else "free"


def options(command: str) -> dict[str, str]:
    """What a command line sets: `--seed 1 --task 'walk far'`."""
    found: dict[str, str] = {}
    words = command.split()
    with contextlib.suppress(ValueError):  # an odd quote, which the first stage complains of
        words = shlex.split(command)
    for word in words:
        if word.startswith("--"):
            name, value = (word[5:], "False") if word.startswith("--no-") else (word[2:], "True")
            found[name] = value
        elif found:
            found[name] = word if found[name] == "True" else f"{found[name]} {word}"
    return found


def changes(old: Any, new: Any, at: str = "") -> list[str]:
    """What differs between two versions of the settings: `train.gamma 0.98 -> 0.99`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        inside = ((k, f"{at}.{k}" if at else k) for k in keys)
        return [c for k, name in inside for c in changes(old.get(k), new.get(k), name)]
    return [] if old == new else [f"{at} {old} -> {new}"]


def reasons(status: list[Any]) -> list[str]:
    """`dvc status` of one stage in words, settings aside: `reelward/sim changed`. A missing result
    is worth saying only when nothing else is the matter."""
    inputs: list[str] = []
    results: list[str] = []
    for entry in status:
        for found, paths in entry.items() if isinstance(entry, dict) else ():
            said = inputs if found == "changed deps" else results
            said += [f"{p} {WORDS.get(s, s)}" for p, s in paths.items() if isinstance(s, str)]
    return inputs or results
