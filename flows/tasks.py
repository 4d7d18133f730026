"""What the loop does, as Prefect's tasks: run stages, ask a person, commit an iteration."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import deployment
from prefect.settings import PREFECT_API_URL

from flows import person, show
from flows.dvc_cli import NETWORK, dvc
from flows.history import PATHS, REWARDS, history, message
from reelward.runtime.files import digest
from reelward.runtime.processes import follow
from reelward.runtime.settings import setting
from reelward.studies import git
from reelward.studies.plan import plan
from reelward.studies.study import current


def prepare() -> None:
    """Tie this flow run to what started it: a worker, or Prefect's temporary server to this process."""
    if deployment.id:
        follow(os.getppid())
    if PREFECT_API_URL.value() is None:
        end_server_with_us()


def end_server_with_us() -> None:
    """Have Prefect's temporary server end with this process, even when this is killed, and not before
    it. Ctrl-C reaches both; the server, started while SIGINT is blocked, ignores it."""
    from prefect.server.api.server import SubprocessASGIServer  # heavy: only where it runs

    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if server := SubprocessASGIServer().server_process:
        subprocess.Popen(
            ("sh", "-c", f"read _; kill {server.pid}"),  # the pipe closes when this process ends
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def pull() -> None:
    """Bring all results of the study from DVC's default remote, where the setting `pull` says so.
    `dvc repro --pull` brings only missing folders, not the rest of one that is partly here."""
    if setting("pull", False):
        dvc("pull", "--quiet", "--allow-missing", say=log)


def log(line: str) -> None:
    get_run_logger().info(line)


def network_failed(_task: Any, _run: Any, state: Any) -> bool:
    """Whether the network failed a task, which is then tried again."""
    return getattr(state.result(raise_on_failure=False), "code", None) == NETWORK


@task(
    task_run_name="repro {target}",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[5, 20, 60],
    retry_condition_fn=network_failed,
)
def repro(target: str) -> None:
    remote = ("--pull", "--allow-missing") if setting("pull", False) else ()
    dvc("repro", *remote, target, say=get_run_logger().info)


@task(task_run_name="commit {key}", cache_policy=NO_CACHE)
def commit(key: str, parent: str) -> None:
    """Commit an iteration and announce what it selected."""
    reward = digest(REWARDS / key / "selected.py")
    subject, trailers = message(key, parent, history(key), reward)
    body = "".join(f"{name}: {value}\n" for name, value in trailers.items())
    if git.commit(PATHS, f"{subject}\n\n{body}"):
        log(subject)
        show.selected(current(), key, parent, git.git("rev-parse", "HEAD").strip(), trailers)


def ask_person(key: str, parent: str) -> None:
    """Have a person approve what is trained, and write the critique where the critic is a person."""
    repro(f"rewards@{key}")
    if any(step.stage == f"train@{key}" for step in plan()):
        person.approve(key, parent)
    repro(f"film@{key}")
    person.criticise(key)


class Progress:
    """The share of iterations that are done, on Prefect's page."""

    def __init__(self, study: str) -> None:
        self.artifact: Any = create_progress_artifact(
            0.0, key=f"iterations-{show.slug(study)}", description=f"iterations of {study}"
        )

    def update(self, share: float) -> None:
        update_progress_artifact(self.artifact, 100.0 * share)
