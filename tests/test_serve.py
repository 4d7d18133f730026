"""The flows as Prefect's deployments, on one server for this file, as `make serve` starts it: a person's
answers, and that a run that is stopped leaves nothing behind.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from conftest import DEADLINE, Finished, all_end, dvc, environment, run, settle
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling

SAID = {
    "wrong": "drags: the left foot", "rewrite": "", "remove": "", "add": "",
    "failure": "drag", "verdict": "worse", "confidence": 0.8,
}  # fmt: skip


@dataclass
class Served:
    folder: Path
    process: subprocess.Popen[bytes]
    client: SyncPrefectClient
    env: dict[str, str]

    def until(self, what: Callable[[], Any], seconds: float = 2 * DEADLINE) -> Any:
        """What `what` gives once it is true."""
        deadline = time.monotonic() + seconds
        while not (got := what()):
            assert time.monotonic() < deadline and self.process.poll() is None, self.said()
            time.sleep(0.2)
        return got

    def said(self) -> str:
        return (self.folder / "scratch/serve.log").read_text()

    def learn(self, **parameters: Any) -> FlowRun:
        deployment = self.client.read_deployment_by_name("learn/learn")
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters)

    def learn_by_command(self, **parameters: Any) -> FlowRun:
        given = [f"--param={k}={json.dumps(v)}" for k, v in parameters.items()]
        prefect = (sys.executable, "-m", "prefect", "deployment", "run", "learn/learn")
        output = run(self.folder, *prefect, *given, **self.env)
        return self.client.read_flow_run(re.search(r"UUID: (\S+)", output)[1])  # type: ignore[index]

    def ended(self, begun: FlowRun) -> str:
        """The state that a run ends in."""

        def final() -> Any:
            state = self.client.read_flow_run(begun.id).state
            return state if state.is_final() else None

        return self.until(final).name

    def asked(self, begun: FlowRun, key: str) -> str:
        """What a run asks, once it asks `key`."""

        def question() -> str | None:
            state = self.client.read_flow_run(begun.id).state
            assert not state.is_final(), f"{state.name}: {state.message}\n{self.said()}"
            if state.name == "Paused" and state.state_details.pause_key == key:
                with suppress(ObjectNotFound, PrefectHTTPStatusError):  # it comes a moment later
                    place = state.state_details.run_input_keyset["description"]
                    return self.client.read_flow_run_input(begun.id, place)
            return None

        return self.until(question)

    def answer(self, begun: FlowRun, key: str, **reply: Any) -> str:
        question = self.asked(begun, key)
        self.client.resume_flow_run(begun.id, run_input=reply)
        return question

    def at_work(self) -> list[psutil.Process]:
        """The processes of a run: its own first, then dvc's."""
        processes = []
        for p in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if "prefect.engine" in p.cmdline():
                    processes += [p, *p.children(recursive=True)]
        return processes

    def training(self) -> list[psutil.Process]:
        """The processes of a run that trains."""

        def in_training() -> list[psutil.Process]:
            with suppress(psutil.Error):
                below = self.at_work()
                if any("stages.train" in p.cmdline() for p in below):
                    return below
            return []

        return self.until(in_training)


@pytest.fixture(scope="module")
def served(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = finished.unpack(tmp_path_factory.mktemp("served") / "served")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    env = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_SERVER_API_PORT": port}
    env["PREFECT_HOME"] = str(folder / "scratch/prefect")
    with open(folder / "scratch/serve.log", "wb") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", "flows.serve"), cwd=folder, env=environment(**env),
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    served = Served(folder, process, SyncPrefectClient(env["PREFECT_API_URL"]), env)
    try:
        served.until(lambda: "in another shell: export" in served.said())
        yield served
    finally:
        process.kill()


def subjects(folder: Path) -> list[str]:
    return run(folder, "git", "log", "--format=%s").splitlines()


def index(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "rewards/iter-00/candidates/index.json").read_text())["candidates"]


def test_a_critique_by_hand_is_asked_for_and_its_report_published(served: Served) -> None:
    folder = served.folder
    settle(folder, {"critique.critic": "person", "critique.file": "critiques.yaml"})
    (folder / "LICENSE").write_text("edited, and not the study's business")
    trained = (folder / "data/iterations/iter-00/policies/SHA256SUMS").read_bytes()
    begun = served.learn_by_command(study="tiny", iterations=1, ask=True)
    names = [c["name"] for c in index(folder)]
    for name in names:
        asked = served.answer(begun, f"critique-iter-00-{name}", **SAID)
        assert f"films/{name}.mp4" in asked
    assert served.ended(begun) == "Completed"

    text = (folder / "critiques.yaml").read_text()
    assert text.startswith("# The critiques of a person")
    assert yaml.safe_load(text) == {"iter-00": {name: SAID for name in names}}
    judged = json.loads((folder / "data/iterations/iter-00/critique.json").read_text())
    assert {c["wrong"] for c in judged["candidates"].values()} == {"drags: the left foot"}
    assert trained == (folder / "data/iterations/iter-00/policies/SHA256SUMS").read_bytes()
    assert run(folder, "git", "status", "--porcelain") == " M LICENSE\n"
    assert json.loads(dvc(folder, "status", "--json")) == {}  # all of it is in files

    def published() -> FlowRun | None:
        return next((r for r in served.client.read_flow_runs() if "commit" in r.parameters), None)

    follower = served.until(published)
    assert served.ended(follower) == "Completed"
    commit = run(folder, "git", "rev-parse", "HEAD").strip()
    assert follower.parameters == {"study": "tiny", "iteration": "iter-00", "commit": commit}
    page = folder / "scratch/site/tiny/index.html"
    assert page.read_bytes() == (folder / "report/index.html").read_bytes()
    kinds = {a.key: a.type for a in served.client.read_artifacts() if a.key}
    assert kinds["reward-tiny"] == "markdown" and kinds["motion-tiny"] == "table"
    assert kinds["iterations-tiny"] == "progress" and kinds["report-tiny"] == "markdown"


def test_an_approved_training_keeps_others_off_and_is_cancelled(served: Served) -> None:
    settle(served.folder, {"train.env_steps": 40_000_000})
    begun = served.learn(study="tiny", iterations=1, ask=True)
    question = served.asked(begun, "approve-iter-00")
    assert "+++ rewards/iter-00/candidates/c0.py" in question and "**c0**" in question
    first = served.at_work()[0]
    second = served.learn(study="tiny", iterations=1)
    assert served.ended(second) == "Failed"
    message = served.client.read_flow_run(second.id).state.message
    assert f"is being written by process {first.pid}; wait for it" in message

    served.answer(begun, "approve-iter-00", approve=True)
    below = served.training()
    output = dvc(served.folder, "repro", code=255)
    assert "is busy" in output and f"(PID {below[1].pid})" in output
    assert all(p.is_running() for p in below)
    served.client.set_flow_run_state(begun.id, Cancelling())
    assert all_end(below) and served.ended(begun) == "Cancelled"


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_run_that_waits_for_a_person_may_be_stopped(served: Served, cancelled: bool) -> None:
    begun = served.learn(study="tiny", iterations=1, ask=True)
    served.asked(begun, "approve-iter-00")
    below = served.at_work()
    if cancelled:
        served.client.set_flow_run_state(begun.id, Cancelling())
    else:
        below[0].send_signal(signal.SIGINT)
    assert all_end(below) and served.ended(begun) == ("Cancelled" if cancelled else "Crashed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_killed_leaves_nothing_and_says_so(served: Served, number: int) -> None:
    begun = served.learn(study="tiny", iterations=1)
    below = served.training()
    below[0].send_signal(number)
    assert all_end(below) and served.ended(begun) == "Crashed"


def test_what_is_rejected_is_not_trained_and_the_next_run_goes_on(served: Served) -> None:
    folder = served.folder
    begun = served.learn(study="tiny", iterations=1, ask=True)
    served.answer(begun, "approve-iter-00", approve=False, why="too wild:\n it's odd")
    assert served.ended(begun) == "Completed"
    entry = yaml.safe_load((folder / "loop.yaml").read_text())["iterations"]["iter-00"]
    assert entry == {"parent": "seed", "refused": "too wild: it's odd"}
    assert {c["error"] for c in index(folder)} == {"a person refused it: too wild: it's odd"}
    feedback = json.loads((folder / "rewards/iter-00/feedback.json").read_text())
    assert feedback["refused"]["c0"] == "a person refused it: too wild: it's odd"
    assert not list((folder / "data/iterations/iter-00/policies").glob("*.pt"))
    kept = [(folder / f"rewards/{name}/selected.py").read_bytes() for name in ("iter-00", "seed")]
    assert kept[0] == kept[1]
    assert subjects(folder)[0].startswith("iter-00: failed, closeness")
    assert json.loads(dvc(folder, "status", "--json")) == {}


def test_ctrl_c_ends_all(served: Served) -> None:
    served.learn(study="tiny", iterations=2)
    served.until(lambda: len(served.at_work()) >= 3)  # the run, dvc, a stage
    process = psutil.Process(served.process.pid)
    below = [process, *process.children(recursive=True)]
    assert len(below) >= 6  # with the server and its worker
    process.send_signal(signal.SIGINT)
    assert all_end(below) and served.process.wait() == 0
