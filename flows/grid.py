"""A grid of studies: videos x robots x seeds, each on a branch, in a folder and in a flow run of
its own.

The folder is a git worktree of this clone, scratch/studies/NAME, on this clone's DVC cache; what
runs in it is `python -m flows.learn`. Where git has a remote `origin` and DVC a default remote, no
disk need be shared: branch and data come from there first and go there after every iteration, so
that another machine goes on where one was lost.
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flows import command
from flows.dvc_cli import DvcError, dvc, run
from reelward.studies import ledger
from reelward.studies.git import StudyError, git
from reelward.studies.settings import Choice, chosen
from reelward.studies.study import LEDGER, branch

STUDIES = Path("scratch/studies")
DEPLOYMENT = "study/study"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Member:
    """One study of a grid; None: as params.yaml has it."""

    grid: str
    video: str | None
    robot: str | None
    seed: int | None

    @property
    def name(self) -> str:
        video = Path(self.video).stem if self.video else None
        parts = (self.grid, video, self.robot, None if self.seed is None else f"seed{self.seed}")
        return "-".join(re.sub("[^a-z0-9]+", "-", p.lower()).strip("-") for p in parts if p)

    @property
    def folder(self) -> Path:
        return STUDIES / self.name


def members(
    grid: str, videos: Sequence[str], robots: Sequence[str], seeds: Sequence[int]
) -> list[Member]:
    """Every combination. Raises StudyError where two would have one name."""
    local = [str(p.absolute()) if (p := Path(v)).is_file() else v for v in videos]
    axes: tuple[Sequence[Any], ...] = (local, robots, seeds)
    found = [Member(grid, *m) for m in itertools.product(*(axis or [None] for axis in axes))]
    names = [m.name for m in found]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise StudyError(f"two studies would be called {twice[0]}; rename a video")
    return found


def study(
    grid: str = "grid",
    videos: list[str] | None = None,
    robots: list[str] | None = None,
    seeds: list[int] | None = None,
    iterations: int = 3,
    task: str | None = None,
) -> None:
    """Bring each study of a grid to at least `iterations` iterations.

    Where Prefect has a server, a grid of several becomes one flow run each, on the work pool of the
    deployment; else they run here, one after another.

    Args:
        grid: what the names of the branches begin with: study/grid-run-biped-seed1
        videos: files, links, pages of a video site, or pypi:NAME==VERSION/path; by default the one
            of params.yaml, as are robot and seed
        robots: robots/NAME
        seeds: of the studies
        iterations: how many there are to be in each
        task: a sentence, for all of them
    """
    from prefect.deployments import run_deployment
    from prefect.settings import PREFECT_API_URL

    from flows.tasks import end_server_with_us

    say = partial(print, flush=True)  # what a study says is in its own flow run
    served = PREFECT_API_URL.value() is not None
    if not served:
        end_server_with_us()
    found = members(grid, videos or [], robots or [], seeds or [])
    travels = remotes()
    if travels:  # whatever the clone was told to fetch
        git("fetch", "--quiet", "origin", "+refs/heads/study/*:refs/remotes/origin/study/*")
    for member in found:
        if not branch(member.name):
            chosen(Choice(video=member.video, robot=member.robot))
    for member in found:
        begin(member, task, travels, say)
    if len(found) == 1 or not served:
        for member in found:
            go_on(member, iterations, travels, say)
        return
    for m in found:
        only = {"videos": m.video, "robots": m.robot, "seeds": m.seed}
        parameters = {key: None if value is None else [value] for key, value in only.items()}
        run_deployment(
            DEPLOYMENT,
            flow_run_name=m.name,
            parameters={"grid": grid, "iterations": iterations, "task": task, **parameters},
            timeout=0,  # whoever waited here would hold a place of the work pool
        )


def remotes() -> bool:
    """Whether git has a remote `origin` and DVC a default one."""
    with suppress(DvcError):
        dvc("config", "core.remote", say=lambda _: None)
        return "origin" in git("remote").split()
    return False


def begin(member: Member, task: str | None, travels: bool, say: Say) -> None:
    """Have a study's branch and folder, made from here where nobody has them."""
    name, folder = f"study/{member.name}", member.folder
    theirs = git("branch", "--remotes", "--list", f"origin/{name}").strip() if travels else ""
    if not folder.is_dir():
        git("worktree", "prune")
        at = ["--detach", str(folder)]
        if theirs and not git("branch", "--list", name):
            at = ["--no-track", "-b", name, str(folder), theirs]
        elif branch(member.name):
            at = [str(folder), name]
        git("worktree", "add", "--quiet", *at)
    for private in (".dvc/config.local", "local.yaml"):
        if Path(private).is_file():
            shutil.copy(private, folder / private)
    cache: list[str] = []
    dvc("cache", "dir", say=cache.append)
    dvc("cache", "dir", "--local", cache[-1], say=say, folder=folder)
    if not branch(member.name):
        given = (
            ("--video", member.video), ("--robot", member.robot), ("--seed", member.seed),
            ("--task", task),
        )  # fmt: skip
        settings = [str(x) for option in given if option[1] is not None for x in option]
        run("reelward.cli", "new", member.name, *settings, say=say, folder=folder)
    if theirs:
        git("-C", str(folder), "merge", "--quiet", "--ff-only", theirs)
    elif travels:
        git("push", "--quiet", "origin", name)


def go_on(member: Member, iterations: int, travels: bool, say: Say) -> None:
    """The loop, in the study's folder; where it travels, an iteration at a time, each shared."""
    folder = member.folder
    if not travels:
        run("flows.learn", "--iterations", str(iterations), say=say, folder=folder)
        return
    dvc("pull", "--quiet", "--allow-missing", say=say, folder=folder)
    known = ledger.parents((folder / LEDGER).read_text())
    done = sum((folder / "rewards" / key / "selected.py").is_file() for key in known)
    for count in range(min(done + 1, iterations), iterations + 1):
        run(
            "flows.learn", "--iterations", str(count),
            say=say, folder=folder, REELWARD_PULL="1",
        )  # fmt: skip
        dvc("push", "--quiet", "--run-cache", say=say, folder=folder)
        git("push", "--quiet", "origin", f"study/{member.name}")


if __name__ == "__main__":
    sys.exit(command.run("grid", study))
