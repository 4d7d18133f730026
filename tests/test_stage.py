"""A stage's entry point: one writer, no orphan, one line, the right exit code."""

import contextlib
import json
import multiprocessing
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from reelward.runtime import files
from reelward.runtime.entry import Out
from reelward.runtime.errors import InputError
from reelward.runtime.locks import LOCK_WAIT
from reelward.runtime.processes import CALLER
from reelward.runtime.progress import Bar, progress
from reelward.runtime.settings import SETTINGS, setting
from reelward.runtime.validation import read_yaml, validate

ROOT = Path(__file__).parents[1]

TOY = '''
"""A stage that does as it is told, with two workers that never stop by themselves."""
import errno, multiprocessing, os, resource, sys, time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from pydantic import Field
from reelward.runtime import files
from reelward.runtime import errors
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.processes import die_with_parent

@dataclass(frozen=True)
class Args:
    out: Out
    """folder to create"""
    seconds: Annotated[float, Field(ge=0, le=100)]
    """of work"""
    does: str
    """how it ends"""
    layers: tuple[int, ...]
    """some numbers"""
    quick: bool
    """a flag"""
    note: str | None
    """anything"""

def work():
    die_with_parent()
    Path("pids").mkdir(exist_ok=True)
    Path(f"pids/{os.getpid()}").touch()
    time.sleep(100)

def main(args):
    print(args)
    if args.does == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    elif args.does == "memory":
        raise MemoryError
    elif args.does == "fault":
        1 / 0
    elif args.does == "readonly":
        raise PermissionError(errno.EACCES, "Permission denied", "data/x")
    elif args.does.endswith("Error"):
        raise getattr(errors, args.does)("wanted this,\\n got that")
    workers = []
    if args.does in ("fork", "forkserver"):
        context = multiprocessing.get_context(args.does)
        workers = [context.Process(target=work) for _ in range(2)]
    with files.new_folder(args.out) as out:
        for w in workers:
            w.start()
        (out / "a").write_bytes(b"x" * 2000)
        Path("pids").mkdir(exist_ok=True)
        Path(f"pids/{os.getpid()}").touch()
        time.sleep(args.seconds)
        for w in workers:
            w.kill()

if __name__ == "__main__":
    run_stage(main, Args)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{tmp_path}")
    for name in ("DVC_STAGE", "REELWARD_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def command(seconds: float = 0, does: str = "ok", *more: str) -> list[str]:
    flags = f"--out data/out --seconds {seconds} --does {does} --layers 64 32 --no-quick".split()
    return [sys.executable, "toy.py", *flags, "--note", "None", *more]


def started(count: int = 1) -> list[int]:
    """Process ids once `count` processes of the toy run."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pids = [int(p.name) for p in Path("pids").glob("*")] if Path("pids").exists() else []
        if len(pids) >= count:
            return sorted(pids)
        time.sleep(0.02)
    raise TimeoutError


def all_dead(pids: list[int], within: float = 2.0) -> bool:
    deadline = time.monotonic() + within
    while any(files.started(p) for p in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(files.started(p) for p in pids)


# --- options


@dataclass(frozen=True)
class Args:
    out: Out
    env_steps: Annotated[int, Field(gt=0)]
    gamma: Annotated[float, Field(ge=0, le=1)]
    hidden: tuple[int, ...]
    symmetric: bool
    crop: tuple[float, float] | None
    critic: Literal["measured", "vlm"]
    name: str


GOOD = {
    "env_steps": 600000,
    "gamma": 1,
    "hidden": [64, 64],
    "symmetric": True,
    "crop": None,
    "critic": "vlm",
    "name": "600000",
}


def test_good_values_raise_no_complaint():
    assert validate(Args, GOOD) == []
    assert validate(Args, GOOD | {"crop": [0, 1.5]}) == []


@pytest.mark.parametrize(
    "key, value, line",
    [
        ("env_stepz", 600000, "600000: unknown key; did you mean env_steps?"),
        ("gamma", 1.5, "1.5: expected a number between 0 and 1"),
        ("gamma", float("nan"), "NaN: expected a number between 0 and 1"),
        ("gamma", "0.9", "0.9: expected a number between 0 and 1"),
        ("env_steps", 0, "0: expected a whole number above 0"),
        ("env_steps", -1, "-1: expected a whole number above 0"),
        ("env_steps", True, "true: expected a whole number above 0"),
        ("env_steps", 1.5, "1.5: expected a whole number above 0"),
        ("hidden", 64, "64: expected a list, each a whole number"),
        ("hidden", ["a"], '["a"]: expected a list, each a whole number'),
        ("symmetric", "yes", "yes: expected true or false"),
        ("crop", [1], "[1]: expected a list of 2, each a number, or null"),
        ("critic", "clip", "clip: expected one of measured, vlm"),
        ("name", 3, "3: expected text"),
    ],
)
def test_a_bad_value_is_one_line(key, value, line):
    got = validate(Args, {**GOOD, key: value}, "params.yaml: train.")
    assert [re.sub(r",$", "", s) for s in got] == [f"params.yaml: train.{key} = {line}"]


def test_an_unknown_key_far_from_all_names_them_all():
    (line,) = validate(Args, {"zzz": 1})
    assert line.endswith("known keys: " + ", ".join(Args.__dataclass_fields__))


@pytest.mark.parametrize(
    "text, line",
    [
        ("a: 1\na: 2\n", 'line 2: no YAML: found duplicate key "a"'),
        ("a: {\n", "no YAML"),
        ("a:\t- 1\n", "line 1: no YAML"),
        ("", "expected keys and values, found null"),
        ("- a\n", "expected keys and values"),
        ("x: !!python/object:os.system {}\n", "line 1: no YAML"),
    ],
)
def test_bad_yaml_is_one_line(tmp_path, text, line):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(line)) as e:
        read_yaml(path)
    assert str(path) in str(e.value) and "\n" not in str(e.value)


def test_yaml_is_read_as_dvc_reads_it(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 3e-4\r\nb: on\r\n")
    assert read_yaml(path) == {"a": 3e-4, "b": "on"}


def test_how_prefers_the_environment_to_local_yaml_to_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert setting("call_seconds", 2.0) == 2.0
    Path("local.yaml").write_text("call_seconds: 3\n")
    assert setting("call_seconds", 2.0) == 3.0
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "4")
    assert setting("call_seconds", 2.0) == 4.0
    assert setting("call_seconds") == "4"
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "long")
    with pytest.raises(InputError, match="REELWARD_CALL_SECONDS.*expected a number"):
        setting("call_seconds", 2.0)
    monkeypatch.setenv("REELWARD_PULL", "false")
    assert setting("pull", True) is False


def test_a_misspelt_budget_is_no_silence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("local.yaml").write_text("budjet_money: 1\n")
    with pytest.raises(InputError, match="budjet_money: unknown key; did you mean budget_m"):
        setting("mode", "live")


def test_every_way_to_run_is_known_and_on_a_page():
    asked = set()
    for path in [
        *(ROOT / "reelward").rglob("*.py"),
        *(ROOT / "flows").glob("*.py"),
        *(ROOT / "stages").glob("*.py"),
    ]:
        asked |= set(re.findall(r"\bsetting\(\s*\"(\w+)\"", path.read_text()))
    assert "checkpoint_s" in asked and asked <= set(SETTINGS)
    pages = (ROOT / "docs/settings.md").read_text() + (ROOT / "docs/models.md").read_text()
    assert [name for name in SETTINGS if not re.search(rf"`{name}\b", pages)] == []


# --- how it ends


@pytest.mark.parametrize(
    "does, code, line",
    [
        ("InputError", 2, "wanted this"),
        ("VideoError", 3, "wanted this"),
        ("NetworkError", 4, "wanted this"),
        ("ResourceError", 5, "wanted this"),
        ("TrainingError", 6, "wanted this"),
        ("full", 5, "data/out: File too large; free some space"),
        ("memory", 5, "out of memory"),
        ("readonly", 5, "data/x: Permission denied"),
        ("fault", 70, "a fault of reelward at toy.py:36: ZeroDivisionError"),
    ],
)
def test_an_error_is_a_line_with_its_code(toy, does, code, line):
    done = subprocess.run(command(0, does), capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr.startswith(f"reelward toy: {line}"), done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("data/out").exists() and not list(Path().glob("data/.*"))


@pytest.mark.parametrize(
    "more, line",
    [
        (("--seconds", "101"), "seconds = 101.0: expected a number between 0 and 100"),
        (("--colour", "red"), "--colour"),
        (("--seconds", "soon"), "--seconds"),
    ],
)
def test_a_bad_option_is_a_line_with_code_2(toy, more, line):
    done = subprocess.run(command(0, "ok", *more), capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("reelward toy: ") and line in done.stderr
    assert not Path("data").exists()


@pytest.mark.parametrize(("local", "variable"), [("debug: true\n", None), ("{", "1")])
def test_the_traceback_is_there_for_those_who_ask(toy, local, variable):
    quiet = subprocess.run(command(0, "fault"), capture_output=True, text=True)
    assert quiet.returncode == 70 and "Traceback" not in quiet.stderr
    assert "REELWARD_DEBUG=1 shows more" in quiet.stderr
    Path("local.yaml").write_text(local)
    env = os.environ | ({"REELWARD_DEBUG": variable} if variable else {})
    done = subprocess.run(command(0, "fault"), capture_output=True, text=True, env=env)
    assert done.returncode == 70 and "Traceback" in done.stderr


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_its_workers(toy, number, code):
    running = subprocess.Popen(command(50, "forkserver"), stderr=subprocess.PIPE, text=True)
    pids = started(3)
    running.send_signal(number)
    assert running.wait(5) == code
    assert running.stderr.read() == f"reelward toy: stopped by {signal.Signals(number).name}\n"
    assert all_dead(pids) and not list(Path().glob("data/.*"))


# --- one writer


def test_a_second_writer_ends_with_code_5_and_names_the_first(toy):
    first = subprocess.Popen(command(50), stdout=subprocess.DEVNULL)
    started()
    begun = time.monotonic()
    second = subprocess.run(command(0), capture_output=True, text=True)
    assert second.returncode == 5
    assert f"data/out is being written by process {first.pid}" in second.stderr
    assert time.monotonic() - begun > LOCK_WAIT
    first.kill()
    first.wait()
    assert subprocess.run(command(0), capture_output=True).returncode == 0


def test_a_second_writer_waits_for_one_that_ends_soon(toy):
    with subprocess.Popen(command(1.0), stdout=subprocess.DEVNULL) as first:
        started()
        assert subprocess.run(command(0), capture_output=True).returncode == 0
    assert first.returncode == 0


# --- no orphan, with real DVC


@pytest.fixture
def pipeline(toy) -> Iterator[Path]:
    (toy / "params.yaml").write_text(
        "toy: {seconds: 50.0, does: forkserver, layers: [64], quick: false, note: null}\n"
    )
    dvc("init", "--no-scm", "-q")
    dvc("config", "parsing.bool", "boolean_optional")
    dvc("config", "core.analytics", "false")
    yield toy


def dvc(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words], capture_output=True, text=True, check=False
    )


def pipeline_file(behind_a_shell: bool) -> None:
    # With a second command the shell cannot turn into the stage: it stays between DVC and it.
    tail = " && true" if behind_a_shell else ""
    Path("dvc.yaml").write_text(
        f"stages:\n  toy:\n    cmd: {sys.executable} toy.py --out data/out ${{toy}}{tail}\n"
        "    params: [toy]\n    deps: [toy.py]\n    outs: [data/out]\n"
    )


def test_flags_as_dvc_unpacks_them(pipeline):
    pipeline_file(False)
    note = 'it\'s "two" words, $HOME'
    Path("params.yaml").write_text(
        f"toy: {{seconds: 0, does: ok, layers: [64, 32], quick: true, note: {json.dumps(note)}}}\n"
    )
    done = dvc("repro")
    assert f"layers=(64, 32), quick=True, note={note!r}" in done.stdout
    Path("params.yaml").write_text(
        "toy: {seconds: 1.0e-4, does: ok, layers: [-1], quick: false, note: null}\n"
    )
    assert "seconds=0.0001, does='ok', layers=(-1,), quick=False, note=None" in dvc("repro").stdout


@pytest.mark.parametrize("shell", [False, True], ids=["direct", "behind a shell"])
@pytest.mark.parametrize("victim", ["dvc", "stage", "group"])
def test_after_any_kill_nothing_runs_on_and_repro_completes(pipeline, victim, shell):
    pipeline_file(shell)
    running = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], start_new_session=True, stdout=subprocess.DEVNULL
    )
    pids = started(3)
    if victim == "group":
        os.killpg(running.pid, signal.SIGKILL)
    else:
        os.kill(running.pid if victim == "dvc" else pids[0], signal.SIGKILL)
    assert all_dead(pids), "an orphan goes on"
    running.wait()
    assert not Path("data/out").exists()
    text = Path("params.yaml").read_text().replace("50.0", "0.1")
    Path("params.yaml").write_text(text)
    again = dvc("repro")
    assert again.returncode == 0, again.stderr
    assert sorted(p.name for p in Path("data").iterdir() if p.name[:5] == ".out.") == []
    assert files.verified(Path("data/out/a")).stat().st_size == 2000
    assert "Data and pipelines are up to date" in dvc("repro").stdout


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_ctrl_c_in_a_terminal_reaches_the_stage(pipeline, monkeypatch, shell):
    monkeypatch.setenv("SHELL", shell)
    pipeline_file(False)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "dvc", "repro"])
    pids = started(3)
    os.write(terminal, b"\x03")
    said, deadline = b"", time.monotonic() + 10
    while time.monotonic() < deadline and select.select([terminal], [], [], 5)[0]:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 255
    assert b"reelward toy: stopped by SIGINT" in said, said
    assert re.search(rb"exited with (130|-2)\b", said), said  # dash stays, and dies of it as well
    assert all_dead(pids)


def test_a_stage_whose_flow_is_gone_ends_though_its_parent_lives():
    flow = subprocess.Popen(["true"])
    flow.wait()
    code = "import time; from reelward.runtime.processes import die_with_parent; die_with_parent(); time.sleep(20)"
    env = os.environ | {CALLER: str(flow.pid)}
    done = subprocess.run([sys.executable, "-c", code], env=env, timeout=15)
    assert done.returncode == -signal.SIGKILL


def test_workers_of_a_fork_die_with_their_parent_too(toy):
    running = subprocess.Popen(command(50, "fork"), stdout=subprocess.DEVNULL)
    pids = started(3)
    running.kill()
    running.wait()
    assert all_dead(pids)


def test_dvc_checkout_brings_back_what_a_failed_stage_lost(pipeline):
    pipeline_file(False)
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("50.0", "0.0").replace("forkserver", "ok"))
    assert dvc("repro").returncode == 0
    params.write_text(params.read_text().replace("ok", "NetworkError"))
    assert dvc("repro").returncode == 255 and not Path("data/out").exists()
    assert dvc("checkout", "data/out").returncode == 0
    assert files.verified(Path("data/out/a")).stat().st_size == 2000


# --- progress


def test_progress_without_a_terminal_is_lines(monkeypatch, capsys):
    monkeypatch.setattr(Bar, "EVERY", 0.0)
    with progress(4, "training") as bar:
        bar.advance(1, loss=0.25)
        bar.update(3)
        bar.update(4)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"training: 25 %, \d+ s left  loss 0.25", lines[0])
    assert lines[1].startswith("training: 75 %") and len(lines) == 2
    assert not multiprocessing.active_children()


# --- the check stage


@pytest.fixture(scope="module")
def params() -> dict:
    return read_yaml(ROOT / "params.yaml")


def complaints(params: dict) -> list[str]:
    from stages.__main__ import complaints

    pipeline = read_yaml(ROOT / "dvc.yaml")["stages"]
    return complaints(params, {n: s.get("do", s)["cmd"] for n, s in pipeline.items()}, "params: ")


def test_our_params_pass(params):
    assert complaints(params) == []


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"train": {"env_stepz": 1}}, "params: train.env_stepz = 1: unknown key; did you mean"),
        ({"train": {"gamma": 1.5}}, "params: train.gamma = 1.5: expected a number between 0 and 1"),
        ({"fetch": {"sha256": "abc"}}, "params: fetch.sha256 = abc: expected 64 digits of"),
        ({"seed": -1}, "params: seed = -1: expected a whole number at least 0"),
        ({"sed": 1}, "params: sed = 1: unknown key; did you mean seed?"),
        ({"robot": "wolker2d"}, "params: robot: "),
        ({"task": "it's"}, "params: task = it's: expected a sentence without apostrophes"),
        ({"task": ""}, "params: task = : expected a sentence without apostrophes"),
        ({"critique": {"critic": "vlm"}}, "params: critique.model is missing: critic is vlm"),
        ({"trian": {}}, "params: trian: no stage of this name; did you mean train?"),
    ],
)
def test_one_wrong_thing_is_one_line(params, changes, line):
    wrong = dict(params)
    for key, value in changes.items():
        wrong[key] = {**params.get(key, {}), **value} if isinstance(value, dict) else value
    (got,) = complaints(wrong)
    assert got.startswith(line)


def test_what_is_missing_is_named(params):
    wrong = {k: v for k, v in params.items() if k != "seed"}
    wrong["train"] = {k: v for k, v in params["train"].items() if k != "gamma"}
    assert complaints(wrong) == ["params: seed is missing", "params: train.gamma is missing"]


def test_check_writes_the_same_bytes_or_nothing(tmp_path):
    def check(params: Path) -> subprocess.CompletedProcess:
        words = ["-m", "stages", "--params", str(params), "--out", str(tmp_path / "ok")]
        return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)

    assert check(ROOT / "params.yaml").returncode == 0
    assert (tmp_path / "ok").read_text() == "ok\n"
    (tmp_path / "ok").unlink()
    bad = (ROOT / "params.yaml").read_text().replace("env_steps: ", "env_stepz: ", 1)
    (tmp_path / "params.yaml").write_text(bad)
    done = check(tmp_path / "params.yaml")
    assert done.returncode == 2 and not (tmp_path / "ok").exists()
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and all(s.startswith("reelward check: ") for s in lines)
    assert "train.env_stepz" in lines[0] and "train.env_steps is missing" in lines[1]


HOLDER = """
import sys, time
from reelward.runtime.locks import device_lock
for _ in range(2):  # the same process has it already
    device_lock(sys.argv[1])
print("mine", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def holder(name: str, tmp: Path) -> Iterator[subprocess.Popen]:
    """A process that takes a device and keeps it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp)},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_device_is_one_process_alone_until_it_dies(tmp_path):
    with holder("GPU 1", tmp_path) as first:
        assert first.stdout.readline() == "mine\n"
        with holder("GPU 1", tmp_path) as second, holder("GPU 2", tmp_path) as other:
            said = second.stderr.readline()
            assert said == f"reelward: GPU 1 is in use by process {first.pid}; waiting for it\n"
            assert other.stdout.readline() == "mine\n"
            time.sleep(0.3)
            assert select.select([second.stdout, second.stderr], [], [], 0)[0] == []
            first.kill()
            assert second.stdout.readline() == "mine\n"
    file = tmp_path / "reelward-GPU%201.lock"
    assert file.read_text() == str(second.pid) and file.stat().st_mode & 0o777 == 0o666
