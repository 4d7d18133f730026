"""The flow: the same repro, one commit an iteration, and nothing left behind."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import copy, dvc, environment, reelward, run

from flows import person, show
from flows.dvc_cli import HINTS, NETWORK, DvcError, failure
from flows.dvc_cli import dvc as follow
from flows.learn import NO_CACHE, commit, enough, learn, message, network, repro
from flows.on_reward import publish
from reelward.runtime.errors import InputError, NetworkError, ResourceError
from reelward.runtime.files import digest
from reelward.runtime.locks import lock
from reelward.studies.study import EXAMPLE

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
    assert error.code == NETWORK == NetworkError.code
    silent = failure(["ERROR: failed to reproduce 'a': failed to run: a, exited with 137"], 255)
    assert silent.code == 137 and "'a'" in str(silent)
    assert failure(["ERROR: Unable to acquire lock."], 255).code == 255
    assert failure(["ERROR: failed to run: a, exited with -9"], 255).code == 137
    busy = "ERROR: failed to reproduce 'a': '/x/data/a' is busy, it is being blocked by:"
    taken = failure([busy, "(PID 71): dvc repro", "If there are no processes with such PIDs"], 255)
    assert str(taken) == "/x/data/a is being written by process 71; wait for it, or end it: kill 71"


@pytest.mark.parametrize(
    ("code", "again"), [("4", True), ("6", False), ("2", False), ("143", False)]
)
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
    subject, trailers = message("iter-02", "iter-01", history("c2 0.8812", "kept 0.912"), reward)
    assert subject == "iter-02: kept, closeness 0.912 (+0.031)"
    assert trailers == {
        "Reelward-Iteration": "iter-02", "Reelward-Candidate": "kept",
        "Reelward-Parent": "iter-01", "Reelward-Closeness": "0.912000",
        "Reelward-Reward": f"sha256:{digest(reward)}",
    }  # fmt: skip
    first, _ = message("iter-00", "seed", history("c0 0.5"), reward)
    assert first == "iter-00: c0, closeness 0.500"


def history(*rows: str) -> list[dict[str, str]]:
    return [dict(zip(("candidate", "closeness"), row.split(), strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("rows", "closeness", "patience", "left", "why"),
    [
        (("c0 0.5", "c1 0.9"), 1.0, None, math.inf, None),
        (("c0 0.5", "c1 0.9"), 0.9, None, math.inf, "closeness 0.900 is enough"),
        (("c0 0.5", "c1 0.9"), 1.0, None, -1.0, "the time is up"),
        (("c0 0.5", "kept 0.5", "failed 0.5"), 1.0, 2, 1.0, "2 iterations brought nothing"),
        (("c0 0.5", "kept 0.5", "failed 0.5"), 1.0, 3, 1.0, None),
        (("kept 0.5", "c0 0.6", "kept 0.6"), 1.0, 2, 1.0, None),
        (("kept 0.5",), 1.0, 2, 1.0, None),
    ],
)
def test_it_stops_when_it_is_enough(
    rows: tuple[str, ...], closeness: float, patience: int | None, left: float, why: str | None
) -> None:
    assert enough(history(*rows), closeness, patience, left) == why


def test_what_is_shown_of_an_iteration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "REWARDS", tmp_path)
    knee = {"expert": 63.7, "learner": 50.0, "off": -1.0}
    duty = {"expert": 0.6, "learner": None, "off": None}
    told = {"seed": {}, "iter-00": {"differences": {"knee": knee, "duty": duty}}}
    told["iter-01"] = {"differences": {"knee": knee | {"learner": 61.5}}}
    for name, feedback in told.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "feedback.json").write_text(json.dumps(feedback))
    assert show.motion("iter-01", "iter-00") == [
        {"descriptor": "knee", "expert": 63.7, "parent": 50.0, "selected": 61.5}
    ]
    assert show.motion("iter-00", "seed") == [
        {"descriptor": "knee", "expert": 63.7, "parent": None, "selected": 50.0},
        {"descriptor": "duty", "expert": 0.6, "parent": None, "selected": None},
    ]
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text("a = 1\nb = 2\n")
    new.write_text("a = 1\nb = 3\n")
    lines = show.difference(old, new).splitlines()
    assert (lines[0], lines[-1]) == ("```diff", "```") and {"-b = 2", "+b = 3"} <= set(lines)


def test_a_critique_is_added_and_what_stands_there_stays() -> None:
    said = {"wrong": "drags: a foot", "verdict": "same"}
    text = person.added(EXAMPLE.read_text(), "iter-00", "c0", said)
    assert text.startswith(EXAMPLE.read_text().removesuffix("{}\n"))
    more = person.added(person.added(text, "iter-00", "c1", said), "iter-01", "c0", said)
    assert yaml.safe_load(more) == {"iter-00": {"c0": said, "c1": said}, "iter-01": {"c0": said}}


def test_dvc_is_the_only_cache() -> None:
    for task in (repro, commit, publish):
        assert task.cache_policy == NO_CACHE and not task.persist_result


ASK = """
import json, sys, flows.learn, flows.on_reward
import prefect.settings
s = prefect.settings.get_current_settings()
print(json.dumps({
    "home": str(s.home), "analytics": s.server.analytics_enabled, "api": s.api.url,
    "persist": s.results.persist_by_default, "wait": s.server.ephemeral.startup_timeout_seconds,
    "server": "prefect.server.api.server" in sys.modules,
}))
"""


def test_prefect_stays_at_home_and_waits_for_its_server(desk: Path) -> None:
    settings = json.loads(run(desk, sys.executable, "-c", ASK))
    assert settings == {
        "home": "scratch/prefect", "analytics": False, "api": None, "persist": False,
        "wait": 120, "server": False,  # whose import takes seconds, and no run of a worker needs it
    }  # fmt: skip
    config = dvc(desk, "config", "--list")
    assert "core.analytics=false" in config and "core.check_update=false" in config


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
    assert (folder / "scratch/prefect/prefect.db").is_file()
    assert "Running stage 'train@iter-00'" in said and "Use `dvc push`" not in said


def test_the_next_iteration_by_hand_and_by_flow_is_the_same(mine: Path, tmp_path: Path) -> None:
    reelward(mine, "extend")
    other = copy(mine, tmp_path / "other")
    said = flow(other, 2)
    assert "repro select@iter-00" not in said and "Running stage 'select@iter-01'" in said
    # the report stands below every iteration: asked for while old ones are replayed, it runs them all
    assert said.index("'repro select@iter-01'") < said.index("'repro report'")
    run(other, "git", "merge-base", "--is-ancestor", "main", "HEAD")
    head = run(other, "git", "rev-parse", "HEAD")

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
    monkeypatch.setattr("reelward.runtime.locks.LOCK_WAIT", 0.2)
    run(mine, "git", "switch", "--quiet", "main")
    with lock(Path("loop.yaml")):
        for name in ("tiny", None):
            with pytest.raises(ResourceError, match=f"process {os.getpid()}; wait for it"):
                learn.fn(1, name)
        assert run(mine, "git", "branch", "--show-current") == "main\n"
        said = reelward(mine, "new", "other", code=5)
        assert f"is being written by process {os.getpid()}" in said


def test_a_study_of_other_settings_is_not_run(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    reelward(desk, "new", "walk")
    with pytest.raises(ValueError, match="robot: study walk has biped, asked for was ant"):
        learn.fn(1, "walk", robot="ant")
    with pytest.raises(ValueError, match="no study wolk; make it: reelward new wolk"):
        learn.fn(1, "wolk")


def test_a_server_that_is_gone_is_the_network(desk: Path) -> None:
    learn = (sys.executable, "-m", "flows.learn", "--iterations", "1")
    said = run(desk, *learn, code=4, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert said.splitlines()[-1].startswith("reelward learn: no Prefect server at http://127.0.0.1")


def test_nobody_is_asked_who_cannot_answer() -> None:
    with pytest.raises(InputError, match="nobody could answer here: make serve"):
        learn.fn(1, ask=True)


SLOW = """
stages:
  slow:
    cmd: python -m stages.slow
    deps: [stages]
    outs: [out]
"""
STAGE = """
import time
print("at work")
time.sleep(60)
"""
CALLER = """
import signal
from flows.dvc_cli import dvc
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
dvc("repro", say=lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_ends_the_caller_ends_the_stage(
    desk: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk / "dvc.yaml").write_text(SLOW)
    (desk / "stages/slow.py").write_text(STAGE)
    caller = subprocess.Popen(
        (sys.executable, "-c", CALLER), cwd=desk, env=environment(PYTHONUNBUFFERED=""), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert caller.stdout
    while "at work" not in (line := caller.stdout.readline()):
        assert line, "it ended before the stage began"
    below = psutil.Process(caller.pid).children(recursive=True)
    assert any("stages.slow" in " ".join(p.cmdline()) for p in below)
    monkeypatch.chdir(desk)
    with pytest.raises(DvcError, match=f"/out is being written by process {below[0].pid}; wait"):
        follow("repro", say=lambda line: None)
    caller.send_signal(number)
    caller.wait(10)
    _, alive = psutil.wait_procs(below, timeout=3)
    assert alive == []


HOLD = """
import sys, time, zc.lockfile
held = zc.lockfile.LockFile(".dvc/tmp/lock")
print("held", flush=True)
time.sleep(5)
"""


def test_it_waits_for_the_lock_of_another_dvc(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk / "dvc.yaml").write_text("stages:\n  quick:\n    cmd: touch out\n    outs: [out]\n")
    (desk / ".dvc/tmp").mkdir(exist_ok=True)
    holder = subprocess.Popen((sys.executable, "-c", HOLD), cwd=desk, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    monkeypatch.chdir(desk)
    follow("repro", say=lambda line: None)
    assert (desk / "out").is_file() and holder.wait() == 0


def in_training(mine: Path) -> subprocess.Popen[str]:
    """A flow in a session of its own, as soon as it trains; it hears Ctrl-C even where what runs in
    the background ignores it."""
    text = (mine / "params.yaml").read_text()
    (mine / "params.yaml").write_text(text.replace("env_steps: 8192", "env_steps: 4000000", 1))
    caller = subprocess.Popen(
        (sys.executable, "-m", "flows.learn", "--iterations", "1"), cwd=mine, env=environment(),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert caller.stdout
    said = []
    while "Running stage 'train@iter-00'" not in (line := caller.stdout.readline()):
        said.append(line)
        assert line, "".join(said)
    return caller


def test_ctrl_c_ends_a_flow_in_one_line(mine: Path) -> None:
    caller = in_training(mine)
    os.killpg(caller.pid, signal.SIGINT)  # as a terminal does: to Prefect's server too
    said, _ = caller.communicate(timeout=60)
    assert "reelward learn: stopped; the same command goes on from here\n" in said
    assert caller.returncode == 130


def test_a_flow_that_is_killed_leaves_nothing(mine: Path) -> None:
    caller = in_training(mine)
    time.sleep(2)
    below = psutil.Process(caller.pid).children(recursive=True)
    names = " ".join(" ".join(p.cmdline()) for p in below)
    assert "stages.train" in names and "uvicorn" in names
    caller.kill()
    caller.wait()  # a stalled disk may hold a dying process for seconds
    _, alive = psutil.wait_procs(below, timeout=3)
    left = [p.cmdline() for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    assert left == []
    assert run(mine, "git", "log", "-1", "--format=%s").startswith("iter-00: ")
