"""The loop as a flow: for each iteration the same `dvc repro`, then one commit.

The flow decides when a stage runs and keeps the history. What runs is up to DVC: without Prefect,
`reelward extend`, `dvc repro` and `git commit` give the same results.
"""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from flows import command
from flows.history import PATHS, History, newest
from reelward.runtime.errors import InputError
from reelward.runtime.locks import lock
from reelward.runtime.settings import setting
from reelward.runtime.words import counted
from reelward.studies import ledger
from reelward.studies.git import changed
from reelward.studies.plan import plan
from reelward.studies.settings import Choice
from reelward.studies.study import LEDGER, branch, current, enter, extend, new, require, short


@dataclass(frozen=True)
class Limits:
    """When to begin no further iteration."""

    closeness: float
    """reached by the selected candidate"""
    patience: int | None
    """iterations in a row that improved nothing; None: no limit"""
    deadline: float
    """of time.monotonic()"""

    def reached(self, history: History) -> str | None:
        """Why no further iteration begins; None where one does."""
        closeness = float(history[-1]["closeness"])
        if closeness >= self.closeness:
            return f"closeness {closeness:.3f} is reached"
        if self.patience is not None and len(history) >= self.patience:
            last = {row["candidate"] for row in history[-self.patience :]}
            if last <= {"kept", "failed"}:
                return f"{counted(self.patience, 'iteration')} improved nothing"
        return "the time is up" if time.monotonic() > self.deadline else None


def limits(
    iterations: int,
    closeness: float = 1.0,
    patience: int | None = None,
    hours: float | None = None,
) -> Limits:
    """The limits that a user sets. Raises InputError where one makes no sense."""
    if iterations < 1:
        raise InputError(f"iterations: expected at least 1, got {iterations}")
    if not 0 <= closeness <= 1:
        raise InputError(f"closeness: expected a number from 0 to 1, got {closeness}")
    if patience is not None and patience < 1:
        raise InputError(
            f"patience: expected at least 1, got {patience}; leave it out for no limit"
        )
    if hours is not None and not hours > 0:
        raise InputError(f"hours: expected more than 0, got {hours}; leave it out for no limit")
    return Limits(closeness, patience, time.monotonic() + 3600 * (hours or math.inf))


def learn(
    iterations: int = 3,
    study: str | None = None,
    video: str | None = None,
    robot: str | None = None,
    task: str | None = None,
    author: str | None = None,
    critic: str | None = None,
    ask: bool = False,
    closeness: float = 1.0,
    patience: int | None = None,
    hours: float | None = None,
) -> None:
    """Bring a study to a number of iterations.

    Args:
        iterations: The number of iterations in all. More are never removed.
        study: The study to enter, branch study/NAME. By default the one that is checked out. A study
            that does not exist is made, as by `reelward new`, where a setting below is given.
        video: A file, a link, a page of a video site, or pypi:NAME==VERSION/path.
        robot: A folder in robots/.
        task: What to learn, in a sentence.
        author: Who writes rewards: measured, fixed (the reward as it stands), or a model by its name
            on its server.
        critic: Who judges: measured, person (you), or a model by its name on its server.
        ask: Pause for a person: before each training, and for the critique of a critic who is one.
        closeness: Start no new iteration once this closeness is reached, from 0 to 1.
        patience: Start no new iteration after this many in a row that improved nothing.
        hours: Start no new iteration after this many hours.
    """
    from flows import tasks

    tasks.prepare()
    until = limits(iterations, closeness, patience, hours)
    with lock(LEDGER):
        open_study(study, Choice(None, robot, video, task, None, author, critic))
        tasks.pull()
        stale = {step.stage for step in plan()}
        progress = tasks.Progress(current())
        number = 0
        while number < max(iterations, len(parents := ledger.parents(LEDGER.read_text()))):
            key = ledger.name(number)
            if key not in parents:
                if reason := until.reached(newest()):
                    tasks.log(f"{key} is not begun: {reason}")
                    break
                parents = extend(number + 1)
                stale |= {f"select@{key}", "report"}
            number += 1
            last = number == len(parents)
            needed = any(stage.endswith(f"@{key}") for stage in stale)
            if needed:
                if ask:
                    tasks.ask_person(key, parents[key])
                tasks.repro(f"select@{key}")
            if last and stale:
                tasks.repro("report")
            if needed or last or changed(f"rewards/{key}"):
                tasks.commit(key, parents[key])
            progress.update(number / max(iterations, len(parents)))


def open_study(study: str | None, choice: Choice) -> None:
    """Enter a study, or make one that does not exist, and check that its settings are those chosen.
    Raises StudyError."""
    study = study and short(study)
    if study and choice != Choice() and not branch(study):
        new(study, choice)
    elif study:
        enter(study)
    current()  # raises on a branch that is no study
    require(choice)


def begin(
    iterations: int = 3,
    study: str | None = None,
    closeness: float = 1.0,
    patience: int | None = None,
    hours: float | None = None,
    ask: bool = False,
    **settings: str | None,
) -> str | None:
    """Open the study for `learn` with the same arguments, without Prefect. Returns why there is nothing
    to do, None where there is something. Raises InputError, StudyError or ResourceError."""
    until = limits(iterations, closeness, patience, hours)
    if ask and "PREFECT_API_URL" not in os.environ:
        raise InputError("ask: nobody could answer here; make serve, and name its address")
    with lock(LEDGER):
        open_study(study, Choice(**settings))  # type: ignore[arg-type]
        count = len(ledger.parents(LEDGER.read_text()))
        if setting("pull", False) or plan() or changed(*PATHS):
            return None
        if count >= iterations:
            return f"{current()} has {counted(count, 'iteration')}, and nothing changed"
        return until.reached(newest())


def report() -> str:
    return f"the report: {Path('report/index.html').absolute()}"


if __name__ == "__main__":
    sys.exit(command.run("learn", learn, begin, report))
