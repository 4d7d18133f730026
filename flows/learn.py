"""The loop as a Prefect flow: for each iteration the same `dvc repro`, then one commit.

It decides when a stage runs and keeps the history; what runs is DVC's matter. Without Prefect,
`reelward extend`, `dvc repro` and `git commit` come to the same.
"""

from __future__ import annotations

import csv
import logging
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tyro
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import deployment
from prefect.settings import PREFECT_API_URL

from flows import person, show
from flows.dvc_cli import NETWORK, DvcError, dvc
from reelward.runtime.errors import InputError, NetworkError
from reelward.runtime.explain import explain
from reelward.runtime.files import digest
from reelward.runtime.locks import lock
from reelward.runtime.processes import follow
from reelward.runtime.settings import setting
from reelward.studies import ledger, study
from reelward.studies.plan import plan
from reelward.studies.study import LEDGER, WORDS, branch, changed, current, enter, extend, hold, new

PATHS = ("params.yaml", "loop.yaml", "dvc.lock", "rewards", "metrics.json", WORDS)
REWARDS = Path("rewards")


def network(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed task deserves another try."""
    return getattr(state.result(raise_on_failure=False), "code", None) == NETWORK


@task(
    task_run_name="repro {target}",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[5, 20, 60],
    retry_condition_fn=network,
)
def repro(target: str) -> None:
    remote = ("--pull", "--allow-missing") if setting("pull", False) else ()
    dvc("repro", *remote, target, say=get_run_logger().info)


@task(task_run_name="commit {key}", cache_policy=NO_CACHE)
def commit(key: str, parent: str) -> None:
    subject, trailers = message(key, parent, rows(key), REWARDS / key / "selected.py")
    body = "".join(f"{name}: {value}\n" for name, value in trailers.items())
    if study.commit(PATHS, f"{subject}\n\n{body}"):
        get_run_logger().info(subject)
        show.selected(current(), key, parent, study.git("rev-parse", "HEAD").strip(), trailers)


def rows(key: str) -> list[dict[str, str]]:
    """The history up to an iteration."""
    return list(csv.DictReader((REWARDS / key / "history.csv").read_text().splitlines()))


def message(
    key: str, parent: str, history: list[dict[str, str]], reward: Path
) -> tuple[str, dict[str, str]]:
    """Of an iteration's commit: what was selected, how close it came, where it comes from."""
    closeness = float(history[-1]["closeness"])
    gain = f" ({closeness - float(history[-2]['closeness']):+.3f})" if len(history) > 1 else ""
    return f"{key}: {history[-1]['candidate']}, closeness {closeness:.3f}{gain}", {
        "Reelward-Iteration": key,
        "Reelward-Candidate": history[-1]["candidate"],
        "Reelward-Parent": parent,
        "Reelward-Closeness": f"{closeness:.6f}",
        "Reelward-Reward": f"sha256:{digest(reward)}",
    }


def enough(
    history: list[dict[str, str]], closeness: float, patience: int | None, left: float
) -> str | None:
    """Why no further iteration is begun, None where one is; `left` are the seconds that remain."""
    reached = float(history[-1]["closeness"])
    last = [row["candidate"] for row in history[-patience:]] if patience else []
    if reached >= closeness:
        return f"closeness {reached:.3f} is enough"
    if len(last) == patience and set(last) <= {"kept", "failed"}:
        return f"{patience} iterations brought nothing"
    return "the time is up" if left < 0 else None


@flow(name="learn")
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
    """Bring a study to at least `iterations` iterations, fewer where that is enough.

    Args:
        iterations: how many there are to be in all
        study: branch study/NAME to enter; by default the one that is checked out. One that is not
            there is made, as by `reelward new`, where the next five say of what
        video: a file, a link, a page of a video site, or pypi:NAME==VERSION/path
        robot: robots/NAME
        task: a sentence
        author: the model that writes rewards, by its name on its server; measured: none
        critic: the model that looks, likewise; person: you write what you see
        ask: pause for a person: before each training, and for the words of a critic who is one
        closeness: begin no iteration once this is reached
        patience: nor after this many that brought nothing
        hours: nor after this time
    """
    end = time.monotonic() + 3600 * (math.inf if hours is None else hours)
    if deployment.id:
        follow(os.getppid())
    if PREFECT_API_URL.value() is None:
        if ask:
            raise InputError("nobody could answer here: make serve, and name its address")
        guard()
    given = dict(video=video, robot=robot, task=task, author=author, critic=critic)
    settings = {key: value for key, value in given.items() if value is not None}
    with lock(LEDGER):
        if study and settings and not branch(study):
            new(study, **settings)
        elif study:
            enter(study)
        name = current()
        hold(**settings)
        waiting = {step.stage for step in plan()}
        shown: Any = create_progress_artifact(
            0.0, key=f"iterations-{show.slug(name)}", description=f"iterations of {name}"
        )
        done = 0
        while done < max(iterations, len(parents := ledger.parents(text := LEDGER.read_text()))):
            key = ledger.name(done)
            if key not in parents:
                history, left = rows(ledger.last(text)), end - time.monotonic()
                if why := enough(history, closeness, patience, left):
                    get_run_logger().info(f"{key} is not begun: {why}")
                    break
                parents = extend(done + 1)
                waiting |= {f"select@{key}", "report"}
            done += 1
            newest = done == len(parents)
            if mine := any(s.endswith(f"@{key}") for s in waiting):
                if ask:
                    steer(key, parents[key])
                repro(f"select@{key}")
            if newest and waiting:
                repro("report")
            if mine or newest or changed(f"rewards/{key}"):
                commit(key, parents[key])
            update_progress_artifact(shown, 100.0 * done / max(iterations, len(parents)))


def steer(key: str, parent: str) -> None:
    """Let a person decide what is trained, and say what came of it."""
    repro(f"rewards@{key}")
    if any(step.stage == f"train@{key}" for step in plan()):
        person.approve(key, parent)
    repro(f"film@{key}")
    person.criticise(key)


class _OneLine(logging.Filter):
    """A stage that fails has said why in one line; where the flow stood adds nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], DvcError):
            record.exc_info = None
        return True


def guard() -> None:
    """Prefect's temporary server ends with this process even when that is killed outright, and not
    before it: Ctrl-C reaches both, and the server, started while `main` blocks that, never sees it."""
    from prefect.server.api.server import SubprocessASGIServer  # heavy: only where it runs

    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if server := SubprocessASGIServer().server_process:
        subprocess.Popen(
            ("sh", "-c", f"read _; kill {server.pid}"),  # the pipe closes when we are gone
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def main(chosen: Any = learn, module: str = "learn") -> int:
    """A flow as a command: 0, or one line and the code of what ended it."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(_OneLine())
    if PREFECT_API_URL.value() is None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until `guard`
    try:
        tyro.cli(chosen, prog=f"python -m flows.{module}")
        return 0
    except KeyboardInterrupt:
        text, code = "stopped; the same command goes on from here", 130
    except Exception as e:
        if str(e).startswith("Failed to reach API"):
            url = PREFECT_API_URL.value()
            e = NetworkError(
                f"no Prefect server at {url}; start it: make serve, or do without: "
                "unset PREFECT_API_URL"
            )
        code, text = explain(e)
    text = text if text.startswith("reelward ") else f"reelward {module}: {text}"
    print(text, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
