"""Run DVC in a session of its own, pass on what it prints, and never leave it running."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from flows.environment import outward
from reelward.runtime.processes import CALLER, death_signal

NETWORK = 4
"""Exit code of a stage that failed because of the network: the only one that is tried again."""
PATIENCE = 5.0
"""s for a stage to end after SIGTERM"""
HINTS = re.compile(
    r"\s*$|> |Use `dvc |To (track|enable)|(Updating|Generating) lock|\s+(git|dvc) "
    r"|Stage .* skipping|WARNING: Process .*RWLock|WARNING: .* is empty"
)

COMPLAINT = re.compile(r"reelward \w+: |ERROR: ")


class DvcError(Exception):
    """A failed `dvc`: the message of the stage, with the stage's exit code as `code`."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def dvc(*args: str, say: Callable[[str], None], folder: Path = Path()) -> None:
    """Run `dvc args` in `folder`. Every line that it and its stages print goes to `say`, except DVC's
    hints and the complaints that the error holds. When this call ends, in whatever way, so do all
    processes it started. Raises DvcError."""
    run("dvc", "--wait-for-lock", *args, say=say, folder=folder)


def run(module: str, *args: str, say: Callable[[str], None], folder: Path, **env: str) -> None:
    """The same for `python -m module args`, with `env` added to the environment."""
    here = str(Path(sys.executable).parent)
    env |= {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    env[CALLER] = str(os.getpid())
    process = subprocess.Popen(
        (sys.executable, "-m", module, *args),
        env=outward() | env, cwd=folder, text=True, errors="replace", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, preexec_fn=death_signal,
    )  # fmt: skip
    lines: list[str] = []
    kept = 0
    try:
        assert process.stdout
        for line in process.stdout:
            if not HINTS.match(line):
                lines.append(line.strip())
                if not COMPLAINT.match(lines[-1]):
                    kept = _pass_on(lines, kept, say)
        process.wait()
    finally:
        end(process)
    if process.returncode:
        raise failure(lines, process.returncode)
    _pass_on(lines, kept, say)


def _pass_on(lines: list[str], kept: int, say: Callable[[str], None]) -> int:
    """Pass on the lines from number `kept`. Complaints wait for the line after them: where a failure
    follows, it repeats them. Returns the number of lines that are passed on."""
    for line in lines[kept:]:
        say(line)
    return len(lines)


def failure(lines: list[str], code: int) -> DvcError:
    """The error behind the output of a failed `dvc`: the stage's own message, where it gave one."""
    for line in lines:
        if exited := re.search(r"exited with (-?\d+)", line):
            code = int(exited[1])
            code = 128 - code if code < 0 else code  # killed by a signal, as a shell reports it
    last = list(takewhile(COMPLAINT.match, reversed(lines)))[::-1]
    complaints = [line for line in last if line.startswith("reelward")]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if busy := re.search(r"'([^']+)' is busy.*?\(PID (\d+)\)", "\n".join(lines), re.S):
        path, pid = busy.groups()
        errors = [f"{path} is being written by process {pid}; wait for it, or end it: kill {pid}"]
    return DvcError("; ".join(complaints) or (errors or lines or ["dvc failed"])[-1], code)


def end(process: subprocess.Popen[str]) -> None:
    """End a process and its whole group: a DVC that is stopped does not stop its stage."""
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
