"""The flow: the same repro, one commit an iteration, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import copy, dvc, environment, reelward, run

from flows.dvc_cli import HINTS, NETWORK, failure
from flows.learn import learn, message, network
from reelward import stage
from reelward.files import digest

SAID = """\
Running stage 'fetch':
reelward fetch: expected an answer from example.com, got none in 30 s
ERROR: failed to reproduce 'fetch': failed to run: python -m stages.fetch, exited with 4
""".splitlines()


def flow(folder: Path, iterations: int, **more: str) -> str:
    args = (sys.executable, "-m", "flows.learn", "--iterations", str(iterations))
    return run(folder, *args, **more)


def test_a_failure_is_the_stages_own_line_and_code() -> None:
    error = failure(SAID, 255)
    assert str(error) == "reelward fetch: expected an answer from example.com, got none in 30 s"
    assert error.code == NETWORK == stage.NetworkError.code
    silent = failure(["ERROR: failed to reproduce 'a': failed to run: a, exited with 137"], 255)
    assert silent.code == 137 and "'a'" in str(silent)
    assert failure(["ERROR: Unable to acquire lock."], 255).code == 255
    assert failure(["ERROR: failed to run: a, exited with -9"], 255).code == 137


@pytest.mark.parametrize(("code", "again"), [("4", True), ("6", False), ("2", False)])
def test_only_the_network_deserves_another_try(code: str, again: bool) -> None:
    from prefect.states import Failed

    error = failure([*SAID[:-1], SAID[-1][:-1] + code], 255)
    assert network(None, None, Failed(data=error)) is again


def test_hints_are_left_out_and_the_rest_is_heard() -> None:
    heard = ("Running stage 'x':", "train: 40 %, 12 s left", "ERROR: no", "reelward train: no")
    dull = ("Use `dvc push` to send", "> python -m stages.x", "\tgit add dvc.lock", "  \n",
            "Stage 'x' didn't change, skipping", "To track the changes with git, run:")  # fmt: skip
    assert not [line for line in heard if HINTS.match(line)]
    assert not [line for line in dull if not HINTS.match(line)]


def test_a_commit_says_what_came_of_the_iteration(tmp_path: Path) -> None:
    reward = tmp_path / "selected.py"
    reward.write_text("PERIOD = 1.3\n")
    history = "iteration,candidate,closeness\niter-01,c2,0.8812\niter-02,kept,0.912\n"
    assert message("iter-02", "iter-01", history, reward) == (
        "iter-02: kept, closeness 0.912 (+0.031)\n\n"
        "Reelward-Iteration: iter-02\nReelward-Candidate: kept\nReelward-Parent: iter-01\n"
        f"Reelward-Closeness: 0.912000\nReelward-Reward: sha256:{digest(reward)}\n"
    )
    first = "iteration,candidate,closeness\niter-00,c0,0.5\n"
    assert message("iter-00", "seed", first, reward).startswith("iter-00: c0, closeness 0.500\n")


def test_the_flow_commits_what_it_made(study: tuple[Path, str]) -> None:
    folder, said = study
    subjects = run(folder, "git", "log", "--format=%s").splitlines()
    assert re.fullmatch(r"iter-00: (c\d|kept), closeness \d\.\d{3}", subjects[0])
    assert subjects[1:] == ["Begin study tiny", "The house"]
    trailers = run(folder, "git", "log", "-1", "--format=%(trailers:only,unfold)")
    best = digest(folder / "rewards/best.py")
    assert f"Reelward-Reward: sha256:{best}" in trailers and "Reelward-Parent: seed" in trailers
    changed = set(run(folder, "git", "show", "--format=", "--name-only").split())
    assert {"params.yaml", "dvc.lock", "metrics.json", "rewards/best.py"} <= changed
    assert "rewards/iter-00/candidates/c0.py" in changed
    assert not [name for name in changed if name.startswith(("data", "report", "scratch", ".dvc"))]
    assert run(folder, "git", "status", "--porcelain") == ""
    assert (folder / ".prefect/prefect.db").is_file()
    assert "Running stage 'train@iter-00'" in said and "Use `dvc push`" not in said


def test_the_next_iteration_by_hand_and_by_flow_is_the_same(mine: Path, tmp_path: Path) -> None:
    other = copy(mine, tmp_path / "other")
    said = flow(other, 2)
    assert "repro select@iter-00" not in said and "Running stage 'select@iter-01'" in said
    run(other, "git", "merge-base", "--is-ancestor", "main", "HEAD")
    head = run(other, "git", "rev-parse", "HEAD")

    reelward(mine, "extend")
    dvc(mine, "repro")
    run(mine, "git", "add", "loop.yaml", "dvc.lock", "metrics.json", "rewards")
    run(mine, "git", "commit", "--quiet", "--message", "iter-01 by hand")

    names = set(run(mine, "git", "ls-files").split())
    assert names == set(run(other, "git", "ls-files").split())
    assert "rewards/iter-01/selected.py" in names
    different = {n for n in names if (mine / n).read_bytes() != (other / n).read_bytes()}
    assert different <= {"dvc.lock"}  # whose order is that of running
    locks = [yaml.safe_load((f / "dvc.lock").read_text())["stages"] for f in (mine, other)]
    assert locks[0] == locks[1]

    again = flow(other, 2)
    assert "Running stage" not in again and "repro" not in again
    assert run(other, "git", "rev-parse", "HEAD") == head
    history_is_readable(other)


def history_is_readable(folder: Path) -> None:
    """What a user asks DVC and git about two iterations."""
    metrics = json.loads(dvc(folder, "metrics", "diff", "HEAD~1", "--json"))
    iteration = metrics["metrics.json"]["iteration"]
    assert (iteration["old"], iteration["new"]) == ("iter-00", "iter-01")
    assert set(json.loads(dvc(folder, "params", "diff", "HEAD~1", "--json"))) == {"loop.yaml"}
    params = json.loads(dvc(folder, "params", "diff", "main", "--json"))["params.yaml"]
    assert params["train.env_steps"]["new"] == 8192
    assert "train@iter-01" in dvc(folder, "dag", "--mermaid")
    dvc(folder, "plots", "diff", "HEAD~1", "HEAD")
    page = (folder / "dvc_plots/index.html").read_text()
    assert page.count('"iteration": "iter-00"') == 2 and page.count('"iteration": "iter-01"') == 1
    assert run(folder, "git", "log", "--format=%s", "--", "rewards/iter-01").count("iter-01") == 1
    assert run(folder, "git", "status", "--porcelain") == ""
    found = json.loads(reelward(folder, "diff", "HEAD", "--json"))
    assert (found["old"]["iteration"], found["new"]["iteration"]) == ("iter-00", "iter-01")
    told = {name: {"old": f["old"], "new": f["new"]} for name, f in found["effect"].items()}
    for name in ("closeness", "knee"):
        if name in metrics["metrics.json"]:  # else it has not changed
            assert told[name].items() <= metrics["metrics.json"][name].items()


def test_on_main_it_says_what_to_do(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    with pytest.raises(ValueError, match="expected a branch study/NAME, got main.*reelward new"):
        learn.fn(1)


def test_two_flows_do_not_write_one_study(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    monkeypatch.setattr(stage, "LOCK_WAIT", 0.2)
    with stage.lock(Path("loop.yaml")), pytest.raises(stage.ResourceError, match=str(os.getpid())):
        learn.fn(1)


SLOW = """
stages:
  slow:
    cmd: python -m stages.slow
    deps: [stages]
    outs: [out]
"""
STAGE = """
import time
print("at work", flush=True)
time.sleep(60)
"""
CALLER = "from flows.dvc_cli import dvc; dvc('repro', say=lambda line: print(line, flush=True))"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_ends_the_caller_ends_the_stage(desk: Path, number: signal.Signals) -> None:
    (desk / "dvc.yaml").write_text(SLOW)
    (desk / "stages/slow.py").write_text(STAGE)
    caller = subprocess.Popen(
        (sys.executable, "-c", CALLER), cwd=desk, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert caller.stdout
    while "at work" not in (line := caller.stdout.readline()):
        assert line, "it ended before the stage began"
    below = psutil.Process(caller.pid).children(recursive=True)
    assert any("stages.slow" in " ".join(p.cmdline()) for p in below)
    caller.send_signal(number)
    _, alive = psutil.wait_procs(below, timeout=3)
    caller.wait(3)
    assert alive == []


def test_a_flow_that_is_killed_leaves_nothing(mine: Path) -> None:
    text = (mine / "params.yaml").read_text()
    (mine / "params.yaml").write_text(text.replace("env_steps: 8192", "env_steps: 4000000", 1))
    caller = subprocess.Popen(
        (sys.executable, "-m", "flows.learn", "--iterations", "1"), cwd=mine, env=environment(),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    assert caller.stdout
    said = []
    while "Running stage 'train@iter-00'" not in (line := caller.stdout.readline()):
        said.append(line)
        assert line, "".join(said)
    time.sleep(2)
    below = psutil.Process(caller.pid).children(recursive=True)
    names = " ".join(" ".join(p.cmdline()) for p in below)
    assert "stages.train" in names and "uvicorn" in names
    caller.kill()
    _, alive = psutil.wait_procs(below, timeout=3)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    assert run(mine, "git", "log", "-1", "--format=%s").startswith("iter-00: ")
