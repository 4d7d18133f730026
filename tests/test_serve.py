"""The flows as Prefect's deployments, on one server for this file, as `make serve` starts it: who may
talk to it, a person's answers, and that a run that is stopped leaves nothing behind.

The desk is unkind: proxies that lead nowhere, and settings of Prefect for another project.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import yaml
from conftest import all_end, copy, dvc, run
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling
from served import Served, serving, toy_desk

from reelward.runtime import locks
from reelward.runtime.errors import ResourceError
from reelward.studies.study import LEDGER

UNKIND = {
    "HTTP_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks://127.0.0.1:9/", "all_proxy": "socks5://127.0.0.1:9",
    "PREFECT_API_URL": "https://api.prefect.cloud/api/accounts/1/workspaces/2",
    "PREFECT_API_KEY": "pnu_0", "PREFECT_HOME": "/proc/none", "PREFECT_PROFILE": "work",
    "PREFECT_SERVER_API_BASE_PATH": "/elsewhere", "PREFECT_SERVER_API_HOST": "0.0.0.0",
    "DVC_ROOT": "/none", "DVC_STAGE": "train@iter-07",
}  # fmt: skip
REPLY = {
    "wrong": "drags: the left foot", "rewrite": "", "remove": "", "add": "",
    "failure": "drag", "verdict": "worse", "confidence": 0.8,
}  # fmt: skip


@pytest.fixture(scope="module")
def served(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = toy_desk(copy(house, tmp_path_factory.mktemp("served") / "served"))
    with serving(folder, **UNKIND) as server:
        yield server


def subjects(folder: Path) -> list[str]:
    return run(folder, "git", "log", "--format=%s").splitlines()


def auth(served: Served) -> tuple[str, str]:
    user, _, password = served.password.partition(":")
    return user, password


def post(served: Served, path: str = "flow_runs/filter", **more: Any) -> httpx.Response:
    options = {"json": {}, "trust_env": False, "timeout": 60, **more}
    return httpx.post(f"{served.url}/{path}", **options)


def test_a_request_needs_the_password_and_our_host(served: Served) -> None:
    right = auth(served)
    port = urlsplit(served.url).port
    assert post(served, auth=right).status_code == 200
    assert post(served, auth=right, headers={"Host": f"localhost:{port}"}).status_code == 200
    assert post(served).status_code == 401
    assert post(served, auth=("reelward", "guess")).status_code == 401
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "0.0.0.0"):
        assert post(served, auth=right, headers={"Host": host}).status_code == 400
        page = httpx.get(served.url.removesuffix("/api"), headers={"Host": host}, trust_env=False)
        assert page.status_code == 400


def test_a_page_of_another_origin_may_not_ask(served: Served) -> None:
    def preflight(origin: str) -> httpx.Response:
        headers = {
            "Origin": origin, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,authorization",
        }  # fmt: skip
        return httpx.options(f"{served.url}/deployments/", headers=headers, trust_env=False)

    own = served.url.removesuffix("/api")
    answer = preflight(own)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, own)
    port = urlsplit(own).port
    for other in ("http://evil.example", f"http://evil.example:{port}", "null", "http://127.0.0.1"):
        answer = preflight(other)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
        simple = post(served, headers={"Origin": other})
        assert simple.status_code == 401
        assert "access-control-allow-origin" not in simple.headers


def test_only_this_user_reads_the_state_and_nobody_is_told(served: Served) -> None:
    home = served.folder / "scratch/prefect"
    modes = {p.name: oct(p.stat().st_mode & 0o777) for p in (home, *home.iterdir())}
    assert modes["prefect"] == "0o700"
    assert modes["prefect.db"] == modes["prefect.db-wal"] == modes["profiles.toml"] == "0o600"
    right = auth(served)
    settings = httpx.get(f"{served.url}/admin/settings", auth=right, trust_env=False).json()
    assert settings["server"]["analytics_enabled"] is False
    assert served.password not in served.log()


def test_another_clone_needs_to_be_told_the_password(served: Served, tmp_path: Path) -> None:
    there = {"PREFECT_API_URL": served.url, "PREFECT_HOME": str(tmp_path)}
    prefect = (sys.executable, "-m", "prefect", "work-pool", "inspect", "here")
    assert "401" in run(tmp_path, *prefect, code=1, **there)
    told = there | {"PREFECT_API_AUTH_STRING": served.password}
    assert "process" in run(tmp_path, *prefect, **told)


def test_rewards_are_approved_a_critique_asked_for_and_the_report_published(
    served: Served,
) -> None:
    folder = served.folder
    params = (folder / "params.yaml").read_text()
    for old, new in (
        ("critic: measured", "critic: person"),
        ("prompts/critiques.yaml", "critiques.yaml"),
    ):
        assert old in params
        params = params.replace(old, new)
    (folder / "params.yaml").write_text(params)
    (folder / "LICENSE").write_text("edited, and not the study's business")
    begun = served.learn_by_command(study="study/toy", iterations=1, ask=True)
    question = served.answer(begun, "approve-iter-00", approve=True)
    assert "+++ rewards/iter-00/candidates/c0.py" in question and "**c0**" in question
    for name in ("c0", "c1"):
        question = served.answer(begun, f"critique-iter-00-{name}", **REPLY)
        assert f"films/{name}.mp4" in question
    assert served.ended(begun) == "Completed"

    text = (folder / "critiques.yaml").read_text()
    assert text.startswith("# The critiques of a person")
    assert yaml.safe_load(text) == {"iter-00": {name: REPLY for name in ("c0", "c1")}}
    assert subjects(folder)[0] == "iter-00: c0, closeness 0.500"
    assert run(folder, "git", "status", "--porcelain") == " M LICENSE\n"
    assert json.loads(dvc(folder, "status", "--json")) == {}  # all of it is in files

    def published() -> FlowRun | None:
        runs = served.client.read_flow_runs()
        return next((r for r in runs if "commit" in r.parameters), None)

    follower = served.until(published)
    assert served.ended(follower) == "Completed"
    commit = run(folder, "git", "rev-parse", "HEAD").strip()
    assert follower.parameters == {"study": "toy", "iteration": "iter-00", "commit": commit}
    page = folder / "scratch/site/toy/index.html"
    assert page.read_bytes() == (folder / "report/index.html").read_bytes()
    kinds = {a.key: a.type for a in served.client.read_artifacts() if a.key}
    assert kinds["reward-toy"] == "markdown" and kinds["motion-toy"] == "table"
    assert kinds["iterations-toy"] == "progress" and kinds["report-toy"] == "markdown"

    (automation,) = post(served, "automations/filter", auth=auth(served)).json()
    address = f"{served.url}/automations/{automation['id']}"
    httpx.delete(
        address, auth=auth(served), trust_env=False
    ).raise_for_status()  # the rest needs none


def change(served: Served) -> None:
    """Change a setting, so that training is to be done again."""
    params = (served.folder / "params.yaml").read_text()
    (served.folder / "params.yaml").write_text(params.replace("  gamma: 0.9", "  gamma: 0.99"))


def test_the_flows_command_finds_the_password_here(served: Served) -> None:
    change(served)
    learn = (sys.executable, "-m", "flows.learn", "--study", "toy", "--iterations", "1")
    output = run(served.folder, *learn, PREFECT_API_URL=served.url)
    assert "Running stage 'train@iter-00'" in output and "temporary server" not in output
    assert output.splitlines()[-1] == f"the report: {served.folder}/report/index.html"
    by_command = [r for r in served.client.read_flow_runs() if r.deployment_id is None]
    assert [r.state_name for r in by_command] == ["Completed"]


def test_a_training_keeps_others_off_and_is_cancelled(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(served)
    (served.folder / "hang").write_text("train")
    begun = served.learn(study="toy", iterations=1)
    below = served.hanging("train")
    monkeypatch.chdir(served.folder)
    monkeypatch.setattr(locks, "LOCK_WAIT", 0.1)
    with pytest.raises(ResourceError, match=f"written by process {below[0].pid}; wait"):
        locks.lock(LEDGER)
    output = dvc(served.folder, "repro", code=255)
    assert "is busy" in output and f"(PID {below[1].pid})" in output
    assert all(p.is_running() for p in below)
    served.client.set_flow_run_state(begun.id, Cancelling())
    assert all_end(below) and served.ended(begun) == "Cancelled"


def test_a_run_that_is_killed_while_it_waits_leaves_nothing_and_says_so(served: Served) -> None:
    begun = served.learn(study="toy", iterations=1, ask=True)
    served.asked(begun, "approve-iter-00")
    below = served.at_work()
    below[0].kill()
    assert all_end(below) and served.ended(begun) == "Crashed"


def test_what_is_rejected_is_not_trained_and_the_next_run_goes_on(served: Served) -> None:
    folder = served.folder
    (folder / "hang").unlink()
    begun = served.learn(study="toy", iterations=1, ask=True)
    served.answer(begun, "approve-iter-00", approve=False, why="too wild:\n it's odd")
    assert served.ended(begun) == "Completed"
    entry = yaml.safe_load((folder / "loop.yaml").read_text())["iterations"]["iter-00"]
    assert entry == {"parent": "seed", "refused": "too wild: it's odd"}
    assert subjects(folder)[0] == "iter-00: failed, closeness 0.500"
    assert json.loads(dvc(folder, "status", "--json")) == {}


def test_ctrl_c_ends_all_in_one_line(served: Served) -> None:
    (served.folder / "hang").write_text("train")
    served.learn(study="toy", iterations=2)
    served.hanging("train")
    process = psutil.Process(served.process.pid)
    below = [process, *process.children(recursive=True)]
    assert len(below) >= 6  # with the server and its worker
    before = len(served.log())
    os.killpg(process.pid, signal.SIGINT)
    assert all_end(below) and served.process.wait() == 0
    log = served.log()[before:]
    assert "Traceback" not in log and log.splitlines()[-1] == "stopped"
