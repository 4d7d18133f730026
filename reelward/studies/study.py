"""A study: one question, on a git branch `study/NAME` of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from reelward.runtime.files import write_text
from reelward.studies import ledger
from reelward.studies.git import StudyError, changed, commit, git
from reelward.studies.settings import (
    CRITIQUES,
    PARAMS,
    Choice,
    applied,
    chosen,
    differing,
    preset,
)
from reelward.studies.yaml_text import loaded

LEDGER = Path("loop.yaml")
SEED = Path("rewards/seed/selected.py")
BEST = "rewards/best.py"
KEPT = ("params.yaml", "loop.yaml", "rewards")
"""what a study begins with"""
RESULTS = (
    "dvc.lock", "metrics.json", BEST, "rewards/history.csv", "rewards/iter-*", CRITIQUES,
)  # fmt: skip
"""what another study's folder must not keep"""
MAIN = "main"
"""the branch without results: a study that is made while another is checked out begins there"""
EXAMPLE = Path("prompts/critiques.yaml")
"""explains the file CRITIQUES, and is its first content"""


def current() -> str:
    """Name of the study that is checked out. Raises StudyError where there is none."""
    branch = git("branch", "--show-current").strip()
    if not branch.startswith("study/"):
        raise StudyError(
            f"expected a branch study/NAME, got {branch or 'no branch'}; "
            "make one: reelward new NAME, or enter one: git switch study/NAME"
        )
    return branch.removeprefix("study/")


def branch(name: str) -> str:
    """Full name of a study's branch, local or else of a remote; empty where there is none."""
    places = (f"refs/heads/study/{name}", f"refs/remotes/*/study/{name}")
    return git("for-each-ref", "--format=%(refname)", *places).partition("\n")[0]


def new(name: str, choice: Choice, source: str | None = None) -> None:
    """Make the branch of a study: its settings, a ledger of one iteration, the reward to start from,
    and no results.

    It begins from the commit that is checked out, or from `main` where that belongs to another study.
    With `source`, a study's name, it takes that study's settings and starts from its best reward.
    Precedence: explicit choices, preset, source study, params.yaml.

    Raises StudyError before anything is changed.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*(?<!\.lock)(?<!\.)", name):
        raise StudyError(f"expected a name of a-z, 0-9, -, _ and dots, got {name!r}")
    if branch(name):
        raise StudyError(f"study {name} exists; enter it: git switch study/{name}")
    if changed(*RESULTS):
        raise StudyError("results here are not committed; commit them first: git status")
    here = git("branch", "--show-current").strip()
    in_study = here.startswith("study/")
    if (source or in_study) and changed(*KEPT):
        raise StudyError("settings here are not committed; commit them first: git status")
    if in_study:
        git("switch", "--quiet", MAIN)
    try:
        params, reward = _start(source)
        given = preset(choice, params)
        params = applied(params, given.values | chosen(choice))
    except BaseException:
        if in_study:
            git("switch", "--quiet", here)
        raise

    git("switch", "--quiet", "--create", f"study/{name}")
    git("rm", "-r", "--quiet", "--ignore-unmatch", "--", *RESULTS)
    _remove_results(kept=())
    write_text(PARAMS, params)
    write_text(LEDGER, ledger.FIRST)
    write_text(SEED, given.reward or reward)
    if loaded(params)["critique"]["file"] == CRITIQUES:
        write_text(Path(CRITIQUES), EXAMPLE.read_text())
    commit((*KEPT, *RESULTS), f"Begin study {name}", always=True)


def _start(source: str | None) -> tuple[str, str]:
    """Text of the settings and the reward to begin with: those here, or those of a study."""
    if source is None:
        return PARAMS.read_text(), SEED.read_text()
    theirs = branch(source)
    if not theirs:
        raise StudyError(f"no study {source}; list them: git branch --all --list '*study/*'")
    best = git("ls-tree", "--name-only", theirs, "--", BEST).strip() or SEED
    return git("show", f"{theirs}:{PARAMS}"), git("show", f"{theirs}:{best}")


def enter(name: str) -> None:
    """Check out a study and the files that DVC keeps for it. Raises StudyError."""
    theirs = branch(name)
    if not theirs:
        raise StudyError(f"no study {name}; make it: reelward new {name}")
    here = git("branch", "--show-current").strip()
    if here == f"study/{name}":
        return
    if theirs.startswith("refs/remotes/"):
        git("branch", "--quiet", f"study/{name}", theirs.removeprefix("refs/remotes/"))
    git("switch", "--quiet", f"study/{name}")
    _remove_results(kept=tuple(ledger.parents(LEDGER.read_text())))
    dvc = (sys.executable, "-m", "dvc", "checkout", "--quiet", "--force", "--allow-missing")
    subprocess.run(dvc)
    if here and not here.startswith("study/") and git("rev-list", "-1", here, "--not", "HEAD"):
        print(f"{here} has commits that study/{name} lacks; git merge {here} brings them")


def _remove_results(kept: tuple[str, ...]) -> None:
    """Remove the files of the study that was left, except those of the iterations `kept`. DVC's
    cache has what was finished."""
    for folder in (*Path("data/iterations").glob("iter-*"), Path("data/best"), Path("report")):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def require(choice: Choice) -> None:
    """Raises StudyError where the study that is checked out has other settings than chosen."""
    if difference := differing(PARAMS.read_text(), choice):
        place, mine, asked = difference
        raise StudyError(
            f"{place}: study {current()} has {mine}, asked for was {asked}; "
            "leave it out, or make another study"
        )


def extend(to: int | None = None) -> dict[str, str]:
    """Append iterations to the ledger until there are `to`, by default one more. Returns all
    iterations with their parents."""
    text = LEDGER.read_text()
    to = len(ledger.parents(text)) + 1 if to is None else to
    longer = ledger.extended(text, to)
    if longer != text:
        write_text(LEDGER, longer)
    return ledger.parents(longer)
