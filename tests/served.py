"""What `make serve` runs, in a folder with a toy study, and a client of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import toy_study
from conftest import DEADLINE, environment, reelward, run, until
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError


@dataclass
class Served:
    folder: Path
    process: subprocess.Popen[bytes]
    client: SyncPrefectClient
    url: str
    password: str

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def until(self, condition: Callable[[], Any], seconds: float = 2 * DEADLINE) -> Any:
        """What `condition` gives once it is true."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline and self.process.poll() is None, self.log()
            time.sleep(0.5)
        return value

    def learn(self, **parameters: Any) -> FlowRun:
        deployment = self.client.read_deployment_by_name("learn/learn")
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters)

    def prefect(self, *args: str, code: int = 0, **more: str) -> str:
        """Prefect's command in this folder, as a user runs it in another shell."""
        prefect = (sys.executable, "-m", "prefect", *args)
        return run(self.folder, *prefect, code=code, **{"PREFECT_API_URL": self.url, **more})

    def learn_by_command(self, **parameters: Any) -> FlowRun:
        given = [f"--param={k}={json.dumps(v)}" for k, v in parameters.items()]
        output = self.prefect("deployment", "run", "learn/learn", *given)
        return self.client.read_flow_run(re.search(r"UUID: (\S+)", output)[1])  # type: ignore[index]

    def ended(self, begun: FlowRun) -> str:
        """The state that a run ends in."""

        def final() -> Any:
            state = self.client.read_flow_run(begun.id).state
            return state if state and state.is_final() else None

        return self.until(final).name

    def asked(self, begun: FlowRun, key: str) -> str:
        """What a run asks, once it asks `key`."""

        def question() -> str | None:
            state = self.client.read_flow_run(begun.id).state
            assert state and not state.is_final(), f"{state}\n{self.log()}"
            if state.name == "Paused" and state.state_details.pause_key == key:
                with suppress(ObjectNotFound, PrefectHTTPStatusError):  # it comes a moment later
                    place = (state.state_details.run_input_keyset or {})["description"]
                    return str(self.client.read_flow_run_input(begun.id, place))
            return None

        return str(self.until(question))

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

    def hanging(self, stage: str) -> list[psutil.Process]:
        """The processes of a run that is in a stage."""

        def in_stage() -> list[psutil.Process]:
            with suppress(psutil.Error):
                below = self.at_work()
                if any({"stages.toy", stage} <= set(p.cmdline()) for p in below):
                    return below
            return []

        return list(self.until(in_stage))


def toy_desk(desk: Path) -> Path:
    """Make a copy of the house a toy study, named toy."""
    (desk / "dvc.yaml").write_text(toy_study.PIPELINE)
    shutil.copy(toy_study.__file__, desk / "stages/toy.py")
    (desk / ".gitignore").write_text((desk / ".gitignore").read_text() + "/hang\n/serve.log\n")
    run(desk, "git", "add", "--all")
    run(desk, "git", "commit", "--quiet", "--message", "A quick pipeline")
    reelward(desk, "new", "toy")
    return desk


@contextmanager
def serving(folder: Path, **more: str) -> Iterator[Served]:
    """`python -m flows.serve` in `folder` on any free port, with `more` in its environment."""
    with open(folder / "serve.log", "wb") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", "flows.serve"), cwd=folder,
            env=environment(**{"PREFECT_SERVER_API_PORT": "0", **more}),
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    pattern = re.compile(r"export PREFECT_API_URL=(\S+)")
    try:
        assert until(
            lambda: pattern.search((folder / "serve.log").read_text()) or process.poll() is not None
        )
        text = (folder / "serve.log").read_text()
        address = pattern.search(text)
        assert address, text
        profiles = tomllib.loads((folder / "scratch/prefect/profiles.toml").read_text())
        password = profiles["profiles"]["here"]["PREFECT_API_AUTH_STRING"]
        client = SyncPrefectClient(address[1], auth_string=password)
        yield Served(folder, process, client, address[1], password)
    finally:
        process.kill()
        process.wait()
