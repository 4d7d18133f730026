"""However a flow is ended, nothing of it runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import DEADLINE, ROOT, all_end, environment, run, settle, until

from flows.dvc_cli import DvcError, dvc


def commands(processes: list[psutil.Process]) -> str:
    """The command lines of those that still run."""
    words = []
    for process in processes:
        with suppress(psutil.Error):
            words += process.cmdline()
    return " ".join(words)


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
time.sleep(900)
"""
CALLER = """
import signal
from flows.dvc_cli import dvc
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
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
        dvc("repro", say=lambda line: None)
    caller.send_signal(number)
    caller.wait(DEADLINE)
    assert all_end(below)


HOLD = """
import sys, time, zc.lockfile
held = zc.lockfile.LockFile(".dvc/tmp/lock")
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_repro_waits_for_another_one(desk: Path) -> None:
    (desk / "dvc.yaml").write_text("stages:\n  quick:\n    cmd: touch out\n    outs: [out]\n")
    (desk / ".dvc/tmp").mkdir(exist_ok=True)
    holder = subprocess.Popen(
        (sys.executable, "-c", HOLD), cwd=desk, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    code = "from flows.dvc_cli import dvc; dvc('repro', say=print)"
    waits = subprocess.Popen((sys.executable, "-c", code), cwd=desk, env=environment())
    me = psutil.Process(waits.pid)
    assert until(lambda: "repro" in commands(me.children(recursive=True)))
    with pytest.raises(subprocess.TimeoutExpired):
        waits.wait(2)
    assert not (desk / "out").exists()
    holder.communicate(b"\n")
    assert waits.wait(DEADLINE) == 0 and (desk / "out").is_file()


def in_training(mine: Path) -> subprocess.Popen[str]:
    """A flow in a session of its own, once it trains. It receives Ctrl-C even where the shell has it
    ignored for background jobs."""
    settle(mine, {"train.env_steps": 40_000_000})
    caller = subprocess.Popen(
        (sys.executable, "-m", "flows.learn", "--iterations", "1"), cwd=mine, env=environment(),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert caller.stdout
    lines = []
    while "Running stage 'train@iter-00'" not in (line := caller.stdout.readline()):
        lines.append(line)
        assert line, "".join(lines)
    return caller


def test_ctrl_c_ends_a_flow_in_one_line(mine: Path) -> None:
    caller = in_training(mine)
    os.killpg(caller.pid, signal.SIGINT)  # as a terminal does: to Prefect's server too
    output, _ = caller.communicate(timeout=DEADLINE)
    assert "reelward learn: stopped; the same command continues from here\n" in output
    assert caller.returncode == 130 and "Traceback" not in output


@pytest.mark.parametrize("module", ["stages.fetch", "stages", "flows.learn"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_while_it_imports_ends_in_one_line(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "pydantic.py").write_text(f"import os, time\nos.kill(os.getpid(), {number})\n")
    process = subprocess.run(
        (sys.executable, "-m", module), capture_output=True, text=True, cwd=ROOT,
        env=environment(PYTHONPATH=f"{tmp_path}:{ROOT}"),
    )  # fmt: skip
    name = module.partition(".")[2] or "check"
    assert process.stderr == f"reelward {name}: stopped by {number.name}\n"
    assert process.returncode == 128 + number


def test_a_flow_that_is_killed_leaves_nothing(mine: Path) -> None:
    caller = in_training(mine)
    me = psutil.Process(caller.pid)
    assert until(lambda: "stages.train" in commands(me.children(recursive=True)))
    below = me.children(recursive=True)
    server = next(p for p in below if "uvicorn" in p.cmdline())
    port = server.cmdline()[server.cmdline().index("--port") + 1]
    ask = partial(httpx.post, f"http://127.0.0.1:{port}/api/flows/count", json={}, trust_env=False)
    assert ask().status_code == 401  # nobody but this flow knows the password
    caller.kill()
    caller.wait()
    assert all_end(below), commands(below)
    assert run(mine, "git", "log", "-1", "--format=%s").startswith("iter-00: ")
