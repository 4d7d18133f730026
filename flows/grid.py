"""A grid of studies, videos x robots x seeds: each has a branch, a folder and a flow run of its own.

The folder scratch/studies/NAME is a git worktree of this clone and uses this clone's DVC cache;
`python -m flows.learn` runs in it. Where git has a remote `origin` and DVC a default remote, machines
need not share a disk: a study is fetched first and pushed after every iteration, so that another
machine can continue a study whose machine was lost.
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import command
from flows.dvc_cli import DvcError, dvc, run
from flows.environment import outward
from flows.learn import limits
from reelward.runtime.errors import InputError
from reelward.runtime.words import show
from reelward.studies import ledger
from reelward.studies.git import StudyError, git
from reelward.studies.settings import Choice, chosen
from reelward.studies.study import LEDGER, branch, require_name

STUDIES = Path("scratch/studies")
DEPLOYMENT = "study/study"
FETCH = ("fetch", "--quiet", "origin", "+refs/heads/study/*:refs/remotes/origin/study/*")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Member:
    """One study of a grid. None leaves a setting as params.yaml has it."""

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
    """All combinations. Raises StudyError where two would have the same name, or one none."""
    local = [str(p.absolute()) if (p := Path(v)).is_file() else v for v in videos]
    axes: tuple[Sequence[Any], ...] = (local, robots, seeds)
    combinations = itertools.product(*(axis or [None] for axis in axes))
    studies = [Member(grid, *values) for values in combinations]
    names = [m.name for m in studies]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise StudyError(f"two studies would be called {twice[0]}; rename a video")
    for name in names:
        require_name(name)
    return studies


def check(
    grid: str = "grid",
    videos: list[str] | None = None,
    robots: list[str] | None = None,
    seeds: list[int] | None = None,
    iterations: int = 3,
    task: str | None = None,
) -> None:
    """Refuse what no study may have. Takes the arguments of `study`; a video may be one that only the
    machine has that began the study. Raises StudyError or InputError."""
    limits(iterations)
    for member in members(grid, videos or [], robots or [], seeds or []):
        chosen(Choice(robot=member.robot, seed=member.seed, task=task))


def study(
    grid: str = "grid",
    videos: list[str] | None = None,
    robots: list[str] | None = None,
    seeds: list[int] | None = None,
    iterations: int = 3,
    task: str | None = None,
) -> None:
    """Bring each study of a grid to a number of iterations.

    With a Prefect server, each of several studies becomes a flow run on the work pool of the
    deployment. Without one, they run here, one after another.

    Args:
        grid: The beginning of the branches' names, as in study/grid-run-biped-seed1.
        videos: Files, links, pages of a video site, or pypi:NAME==VERSION/path. By default the video
            of params.yaml; so for robots and seeds.
        robots: Folders in robots/.
        seeds: The seeds of the studies.
        iterations: The number of iterations in all, for each study.
        task: What to learn, in a sentence, for all studies.
    """
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL

    from flows.tasks import end_server_with_us

    served = PREFECT_API_URL.value() is not None
    if not served:
        end_server_with_us()
    studies = members(grid, videos or [], robots or [], seeds or [])
    travels = remotes()
    if travels:  # a shallow clone is set to fetch one branch alone
        git(*FETCH, env=outward())
    for member in studies:
        if not branch(member.name):
            chosen(Choice(video=member.video, robot=member.robot))
    for member in studies:
        begin(member, task, travels, show)  # a study has a log in its own flow run
    if len(studies) == 1 or not served:
        for member in studies:
            learn(member, iterations, travels, show)
        return
    for m in studies:
        only = {"videos": m.video, "robots": m.robot, "seeds": m.seed}
        parameters = {key: None if value is None else [value] for key, value in only.items()}
        try:
            run_deployment(
                DEPLOYMENT,
                flow_run_name=m.name,
                parameters={"grid": grid, "iterations": iterations, "task": task, **parameters},
                timeout=0,  # a run that waited here would take a place of the work pool
            )
        except ObjectNotFound:
            raise InputError(
                f"the server of PREFECT_API_URL has no deployment {DEPLOYMENT}; run make serve "
                "here and name its address, or: prefect deploy --all"
            ) from None


def remotes() -> bool:
    """Whether git has a remote `origin` and DVC a default one."""
    with suppress(DvcError):
        dvc("config", "core.remote", say=lambda _: None)
        return "origin" in git("remote").split()
    return False


def begin(member: Member, task: str | None, travels: bool, say: Say) -> None:
    """Make a study's branch and folder, where neither this clone nor `origin` has them."""
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
        git("push", "--quiet", "origin", name, env=outward())


def learn(member: Member, iterations: int, travels: bool, say: Say) -> None:
    """Run the loop in the study's folder. A study that travels is pushed after every iteration."""
    folder = member.folder
    if not travels:
        run("flows.learn", "--iterations", str(iterations), say=say, folder=folder)
        return
    known = ledger.parents((folder / LEDGER).read_text())
    done = sum((folder / "rewards" / key / "selected.py").is_file() for key in known)
    for count in range(min(done + 1, iterations), iterations + 1):
        run(
            "flows.learn", "--iterations", str(count),
            say=say, folder=folder, REELWARD_PULL="1",
        )  # fmt: skip
        dvc("push", "--quiet", "--run-cache", say=say, folder=folder)
        git("push", "--quiet", "origin", f"study/{member.name}", env=outward())


if __name__ == "__main__":
    sys.exit(command.run("grid", study, check))
