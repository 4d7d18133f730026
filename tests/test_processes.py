"""However a stage is ended, nothing of it runs on; and an output has one writer at a time."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import DEADLINE, ROOT

from reelward.runtime import files, locks
from reelward.runtime.errors import ResourceError
from reelward.runtime.processes import CALLER

COMMAND = [sys.executable, "toy.py"]
COMMAND += "--out data/out --seconds 900 --layers 64 --no-quick --note None --does".split()
PIPELINE = """\
stages:
  toy:
    cmd: {python} toy.py --out data/out ${{toy}}{tail}
    params: [toy]
    deps: [toy.py]
    outs: [data/out]
"""


def until(condition: Callable[[], bool]) -> bool:
    """Wait for a condition; False where it does not come."""
    deadline = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def pids(count: int) -> list[int]:
    """The process ids of the toy and its workers, once `count` of them run; the toy is the first."""
    assert until(lambda: len(list(Path("pids").glob("*"))) >= count)
    return sorted(int(p.name) for p in Path("pids").glob("*"))


def all_gone(processes: list[int]) -> bool:
    return until(lambda: not any(map(files.started, processes)))


# --- signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_stage_and_its_workers(toy: Path, number: int, code: int) -> None:
    stage = subprocess.Popen([*COMMAND, "forkserver"], stderr=subprocess.PIPE, text=True)
    running = pids(3)
    stage.send_signal(number)
    assert stage.stderr and stage.stderr.read() == (
        f"reelward toy: stopped by {signal.Signals(number).name}\n"
    )
    assert stage.wait(DEADLINE) == code
    assert all_gone(running) and not list(Path().glob("data/.*"))


def test_forked_workers_end_with_a_killed_stage(toy: Path) -> None:
    stage = subprocess.Popen([*COMMAND, "fork"], stdout=subprocess.DEVNULL)
    running = pids(3)
    stage.kill()
    stage.wait()
    assert all_gone(running)


def test_a_stage_ends_with_its_flow_though_its_parent_lives() -> None:
    flow = subprocess.Popen(["true"])
    flow.wait()
    code = "import time; from reelward.runtime.processes import die_with_parent as d; d();"
    command = [sys.executable, "-c", f"{code} time.sleep(900)"]
    stage = subprocess.run(command, env=os.environ | {CALLER: str(flow.pid)}, timeout=DEADLINE)
    assert stage.returncode == -signal.SIGKILL


# --- with DVC


def dvc(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True)


def pipeline(tail: str = "", **params: object) -> None:
    """A repository of DVC with the toy as its stage."""
    defaults = {"seconds": 900, "does": "ok", "layers": [64], "quick": False, "note": None}
    Path("params.yaml").write_text(json.dumps({"toy": defaults | params}))
    Path("dvc.yaml").write_text(PIPELINE.format(python=sys.executable, tail=tail))
    if not Path(".dvc").exists():
        dvc("init", "--no-scm", "-q")
        with open(".dvc/config", "a") as config:
            config.write((ROOT / ".dvc/config").read_text().replace("[core]\n", "", 1))


def test_a_stage_gets_its_options_from_dvc(toy: Path) -> None:
    note = 'it\'s "two" words, $HOME'
    pipeline(seconds=0, layers=[64, 32], quick=True, note=note)
    assert f"layers=(64, 32), quick=True, note={note!r}" in dvc("repro").stdout
    pipeline(seconds=1.0e-5, layers=[-1])
    assert "seconds=1e-05, does='ok', layers=(-1,), quick=False, note=None" in dvc("repro").stdout


@pytest.mark.parametrize(
    ("victim", "tail"),
    # With a second command the shell stays between DVC and the stage.
    [("dvc", ""), ("dvc", " && true"), ("stage", " && true"), ("group", "")],
)
def test_after_any_kill_nothing_runs_on_and_repro_completes(
    toy: Path, victim: str, tail: str
) -> None:
    pipeline(tail, does="forkserver")
    command = [sys.executable, "-m", "dvc", "repro"]
    repro = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    running = pids(3)
    if victim == "group":
        os.killpg(repro.pid, signal.SIGKILL)
    else:
        os.kill(repro.pid if victim == "dvc" else running[0], signal.SIGKILL)
    assert all_gone(running), "an orphan runs on"
    repro.wait()
    assert not Path("data/out").exists()
    pipeline(tail, does="forkserver", seconds=0)
    again = dvc("repro")
    assert again.returncode == 0, again.stderr
    assert all_gone(pids(4))


def test_dvc_checkout_brings_back_what_a_failed_stage_removed(toy: Path) -> None:
    pipeline(seconds=0)
    assert dvc("repro").returncode == 0
    pipeline(seconds=0, does="NetworkError")
    assert dvc("repro").returncode == 255 and not Path("data/out").exists()
    assert dvc("checkout", "data/out").returncode == 0
    assert files.verified(Path("data/out/a")).stat().st_size == 2000


# --- locks

HOLDER = """
import sys
from pathlib import Path
from reelward.runtime import locks
lock = getattr(locks, sys.argv[1])
held = [lock(Path(sys.argv[2]) if lock is locks.lock else sys.argv[2])]
if lock is locks.device_lock:
    held.append(lock(sys.argv[2]))  # the same process holds it already
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holder(kind: str, name: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A process that takes a lock and keeps it until it is killed or gets a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, kind, name], env=os.environ | env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def held(process: subprocess.Popen[str]) -> bool:
    return bool(process.stdout) and process.stdout.readline() == "held\n"


def test_a_second_writer_names_the_first_until_that_is_killed(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", 0.1)
    with holder("lock", "data/out") as first:
        assert held(first)
        refused = f"data/out is being written by process {first.pid}; wait for it, or end it"
        for _ in range(2):  # a refusal leaves the holder's name in the file
            with pytest.raises(ResourceError, match=refused):
                locks.lock(Path("data/out"))
        locks.lock(Path("data/other"))
        first.kill()
        first.wait()
        locks.lock(toy / "data/out")  # the same output by another path


def test_a_second_writer_waits_for_one_that_ends_soon(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", DEADLINE)
    with holder("lock", "data/out") as first:
        assert held(first) and first.stdin
        first.stdin.write("\n")
        first.stdin.flush()
        locks.lock(Path("data/out"))
        assert first.wait(DEADLINE) == 0


def test_a_device_belongs_to_one_process_until_it_ends(toy: Path) -> None:
    with holder("device_lock", "GPU 1", TMPDIR=str(toy)) as first:
        assert held(first)
        with (
            holder("device_lock", "GPU 1", TMPDIR=str(toy)) as second,
            holder("device_lock", "GPU 2", TMPDIR=str(toy)) as other,
        ):
            assert second.stderr and second.stderr.readline() == (
                f"reelward: GPU 1 is in use by process {first.pid}; waiting for it\n"
            )
            assert held(other)
            assert select.select([second.stdout, second.stderr], [], [], 0.3)[0] == []
            first.kill()
            assert held(second)
    file = toy / "reelward-GPU%201.lock"
    assert file.read_text() == str(second.pid) and file.stat().st_mode & 0o777 == 0o666
