"""What the next `dvc repro` would run, and why.

DVC knows which stages have changed themselves. A stage below one of those runs only if its input
comes out different, which nobody knows in advance. The plan does not look into DVC's run-cache: a
stage that has run on the same inputs before is restored from there instead of run.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reelward.records import ASK_A_MODEL, Provenance
from reelward.runtime.errors import InputError
from reelward.runtime.files import FileError, read_json, read_record
from reelward.runtime.validation import read_yaml
from reelward.studies import ledger
from reelward.studies.yaml_text import loaded

MODEL = {
    "describe": ("critique", "critic"),
    "propose": ("propose", "author"),
    "critique": ("critique", "critic"),
}
"""Stages that may ask a model, and the parameter that says whether they do."""
CONSTANT = {"check"}
"""Stages whose result never changes: what reads it does not run because of them."""

PARAMS = Path("params.yaml")
LEDGER = Path("loop.yaml")
LOCK = Path("dvc.lock")
MOTION = Path("data/expert/keyframes/motion.json")
PROVENANCE = Path("data/expert/provenance.json")
WORDS = {"modified": "changed", "deleted": "is missing", "new": "is new"}


@dataclass(frozen=True)
class Step:
    """A stage that would run."""

    stage: str
    kind: str
    """training, paid call, or free"""
    certain: bool
    """False: it runs only if what it reads comes out different"""
    why: tuple[str, ...]
    env_steps: tuple[int, int] | None = None
    """of a training, all candidates together: at least and at most. A candidate that goes on from the
    parent's policy takes fewer, and whether one does is up to the author."""


def plan() -> list[Step]:
    """The steps in the order of running, for the DVC repository of the working directory. Raises
    InputError with all that is wrong in params.yaml where DVC cannot read the pipeline because of it,
    and LedgerError."""
    from dvc.exceptions import DvcException

    read_yaml(PARAMS)
    parents = ledger.parents(LEDGER.read_text())
    try:
        return _plan(parents)
    except DvcException:
        require_settings()
        raise


def require_settings() -> None:
    """Run the stage `check` on params.yaml. Raises InputError with its complaints, a line each."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("--params", str(PARAMS), "--out", f"{folder}/params.ok")
        process = subprocess.run(
            (sys.executable, "-m", "stages", *words), capture_output=True, text=True
        )
    if process.returncode:
        lines = [line.removeprefix("reelward check: ") for line in process.stderr.splitlines()]
        raise InputError("\n".join(lines))


def _plan(parents: Mapping[str, str]) -> list[Step]:
    import networkx
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of locks that a kill left behind
    with Repo() as repo, repo.lock:
        graph = repo.index.graph  # once: Repo.status would have DVC read all its files again
        order = list(networkx.dfs_postorder_nodes(graph))
        changed: dict[str, list[str]] = {}
        locked: Any = loaded(LOCK.read_text()) if LOCK.is_file() else {}
        for stage in order:
            name = stage.addressing
            status = stage.status()
            if name not in status:
                continue
            changed[name] = ["never run"]
            if any(out.hash_info for out in stage.outs):
                settings = [d for d in stage.deps if isinstance(d, ParamsDependency)]
                why = [c for d in settings for c in changes(d.hash_info.value, d.read_params())]
                keys = {c.partition(" ")[0].rpartition(".")[2] for c in why}
                old = options(locked["stages"][name]["cmd"])
                new = {k: v for k, v in options(stage.cmd).items() if k not in keys}
                why += changes({k: old.get(k) for k in new}, new)
                changed[name] = why + reasons(status[name])
    needs = {s.addressing: [above.addressing for above in graph.successors(s)] for s in order}
    return steps(changed, needs, loaded(PARAMS.read_text()), parents)


def steps(
    changed: Mapping[str, Sequence[str]],
    needs: Mapping[str, Sequence[str]],
    params: Mapping[str, Any],
    parents: Mapping[str, str],
) -> list[Step]:
    """`changed`: the stages that changed themselves, with the reasons. `needs`: for each stage, in the
    order of running, the stages whose results it reads. `parents`: of the iterations."""
    planned: dict[str, Step] = {}
    for stage, sources in needs.items():
        above = [s for s in sources if s in planned and s not in CONSTANT]
        if stage in changed:
            why = tuple(changed[stage])
        elif above:
            why = tuple(f"follows {s}" for s in above)
        else:
            continue
        name, _, iteration = stage.partition("@")
        what = kind(name, params)
        steps = env_steps(params, parents.get(iteration)) if what == "training" else None
        planned[stage] = Step(stage, what, stage in changed, why, steps)
    return list(planned.values())


def kind(name: str, params: Mapping[str, Any]) -> str:
    """Whether a stage trains, pays for model calls, or costs nothing."""
    if name == "train":
        return "training"
    section, key = MODEL.get(name, ("", ""))
    return "paid call" if section and params[section][key] in ASK_A_MODEL else "free"


def env_steps(params: Mapping[str, Any], parent: str | None) -> tuple[int, int]:
    """Env-steps of an iteration's candidates together, at least and at most."""
    count, train = params["propose"]["candidates"], params["train"]
    scratch, warm = count * train["env_steps"], count * train["warm_env_steps"]
    return (scratch, scratch) if parent == ledger.SEED else (min(scratch, warm), max(scratch, warm))


def unshared() -> tuple[str, ...]:
    """What the body in the video and the robot of params.yaml do not share, a sentence each. Empty
    while the video has not been measured here, and where either cannot be read."""
    if not (MOTION.is_file() and PROVENANCE.is_file()):
        return ()
    from reelward.measures.shared import unshared  # loads NumPy
    from reelward.motion.record import from_json
    from reelward.sim.robot import load_robot  # loads MuJoCo

    params = read_yaml(PARAMS)
    with contextlib.suppress(FileError, ValueError):
        video = read_record(PROVENANCE, Provenance).video
        if video is not None and video.source_sha256 == params["fetch"]["sha256"]:
            return unshared(from_json(read_json(MOTION)), load_robot(params["robot"]))
    return ()


def interval(least: int, most: int) -> str:
    """`600,000`, or `300,000 to 600,000`."""
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def options(command: str) -> dict[str, str]:
    """The options in a command line: `--seed 1 --task 'walk far'`."""
    values: dict[str, str] = {}
    words = command.split()
    with contextlib.suppress(
        FileError, ValueError
    ):  # an unbalanced quote, which the check stage reports
        words = shlex.split(command)
    for word in words:
        if word.startswith("--no-"):
            values[word[5:]] = "False"
        elif word.startswith("--"):
            values[word[2:]] = "True"
        elif values:
            name = next(reversed(values))
            values[name] = word if values[name] == "True" else f"{values[name]} {word}"
    return values


def changes(old: Any, new: Any, at: str = "") -> list[str]:
    """The differences of two versions of the settings: `train.gamma 0.98 -> 0.99`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        inside = ((k, f"{at}.{k}" if at else k) for k in keys)
        return [c for k, name in inside for c in changes(old.get(k), new.get(k), name)]
    return [] if old == new else [f"{at} {old} -> {new}"]


def reasons(status: Sequence[Any]) -> list[str]:
    """`dvc status` of one stage in words, settings aside: `reelward/sim changed`. A missing result
    is a reason only where nothing else is."""
    inputs: list[str] = []
    results: list[str] = []
    for entry in status:
        for group, paths in entry.items() if isinstance(entry, dict) else ():
            lines = inputs if group == "changed deps" else results
            lines += [f"{p} {WORDS.get(s, s)}" for p, s in paths.items() if isinstance(s, str)]
    return inputs or results
