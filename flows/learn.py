"""The loop as a Prefect flow: for each iteration the same `dvc repro`, then one commit.

It decides when a stage runs and keeps the history; what runs is DVC's matter. Without Prefect,
`reelward extend`, `dvc repro` and `git commit` come to the same.
"""

from __future__ import annotations

import csv
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import tyro
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.server.api.server import SubprocessASGIServer

from flows.dvc_cli import NETWORK, DvcError, dvc
from reelward import ledger, stage, study
from reelward.files import digest
from reelward.plan import plan
from reelward.study import LEDGER, changed, current, enter, extend

PATHS = ("params.yaml", "loop.yaml", "dvc.lock", "rewards", "metrics.json")


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
    dvc("repro", target, say=get_run_logger().info)


@task(task_run_name="commit {key}", cache_policy=NO_CACHE)
def commit(key: str, parent: str) -> None:
    folder = Path("rewards") / key
    text = message(key, parent, (folder / "history.csv").read_text(), folder / "selected.py")
    if study.commit(PATHS, text):
        get_run_logger().info(text.partition("\n")[0])


def message(key: str, parent: str, history: str, reward: Path) -> str:
    """Of an iteration's commit: what was selected, how close it came, where it comes from."""
    rows = list(csv.DictReader(history.splitlines()))
    closeness = float(rows[-1]["closeness"])
    gain = f" ({closeness - float(rows[-2]['closeness']):+.3f})" if len(rows) > 1 else ""
    return (
        f"{key}: {rows[-1]['candidate']}, closeness {closeness:.3f}{gain}\n\n"
        f"Reelward-Iteration: {key}\n"
        f"Reelward-Candidate: {rows[-1]['candidate']}\n"
        f"Reelward-Parent: {parent}\n"
        f"Reelward-Closeness: {closeness:.6f}\n"
        f"Reelward-Reward: sha256:{digest(reward)}\n"
    )


@flow(name="learn")
def learn(iterations: int = 3, study: str | None = None) -> None:
    """Bring a study to at least `iterations` iterations.

    Args:
        iterations: how many there are to be in all
        study: branch study/NAME to enter; by default the one that is checked out
    """
    _guard()
    enter(study) if study else current()
    with stage.lock(LEDGER):
        waiting = {step.stage for step in plan()}
        done = 0
        while done < max(iterations, len(parents := ledger.parents(LEDGER.read_text()))):
            key = ledger.name(done)
            done += 1
            if key not in parents:
                parents = extend(done)
                waiting |= {f"select@{key}", "report"}
            newest = done == len(parents)
            if mine := any(name.endswith(f"@{key}") for name in waiting):
                repro(f"select@{key}")
            if newest and waiting:
                repro("report")
            if mine or newest or changed(f"rewards/{key}"):
                commit(key, parents[key])


class _OneLine(logging.Filter):
    """A stage that fails has said why in one line; where the flow stood adds nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], DvcError):
            record.exc_info = None
        return True


def _guard() -> None:
    """Prefect's temporary server ends with this process even when that is killed outright."""
    if server := SubprocessASGIServer().server_process:
        subprocess.Popen(
            ("sh", "-c", f"read _; kill {server.pid}"),  # the pipe closes when we are gone
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def main() -> int:
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(_OneLine())
    try:
        tyro.cli(learn, prog="python -m flows.learn")
        return 0
    except KeyboardInterrupt:
        text, code = "stopped; the same command goes on from here", 130
    except Exception as e:
        code, text = stage.explain(e)
    text = text if text.startswith("reelward ") else f"reelward learn: {text}"
    print(text, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
