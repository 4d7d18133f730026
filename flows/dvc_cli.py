"""DVC as a process: started in a session of its own, heard line by line, never left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from reelward.runtime.processes import CALLER, death_signal

NETWORK = 4
"""exit code of a stage that the network failed: the only one worth another try"""
PATIENCE = 5.0
"""s that a stage has to end itself when asked"""
HINTS = re.compile(
    r"\s*$|> |Use `dvc |To (track|enable)|(Updating|Generating) lock|\s+(git|dvc) "
    r"|Stage .* skipping|WARNING: Process .*RWLock"
)


class DvcError(Exception):
    """A `dvc` that failed: the stage's own line, and its exit code as `code`."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def dvc(*args: str, say: Callable[[str], None], folder: Path = Path()) -> None:
    """Run `dvc args` in `folder`; what it and its stages print goes to `say`, a line at a time and
    without DVC's hints. Whatever ends this call ends all that it started. Raises DvcError."""
    run("dvc", "--wait-for-lock", *args, say=say, folder=folder)


def run(module: str, *args: str, say: Callable[[str], None], folder: Path, **env: str) -> None:
    """The same for `python -m module args`, with more in its environment."""
    here = str(Path(sys.executable).parent)
    env |= {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    env[CALLER] = str(os.getpid())
    process = subprocess.Popen(
        (sys.executable, "-m", module, *args),
        env=os.environ | env, cwd=folder, text=True, errors="replace", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, preexec_fn=death_signal,
    )  # fmt: skip
    said: list[str] = []
    try:
        assert process.stdout
        for line in process.stdout:
            if not HINTS.match(line):
                said.append(line.strip())
                say(said[-1])
        process.wait()
    finally:
        end(process)
    if process.returncode:
        raise failure(said, process.returncode)


def failure(said: list[str], code: int) -> DvcError:
    """What went wrong, from what was said: the stage's complaint rather than DVC's about it."""
    for line in said:
        if exited := re.search(r"exited with (-?\d+)", line):
            code = int(exited[1])
            code = 128 - code if code < 0 else code  # killed, as a shell would put it
    complaints = [line for line in said if re.match(r"reelward \w+: ", line)]
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    if busy := re.search(r"'([^']+)' is busy.*?\(PID (\d+)\)", "\n".join(said), re.S):
        path, pid = busy.groups()
        errors = [f"{path} is being written by process {pid}; wait for it, or end it: kill {pid}"]
    return DvcError("; ".join(complaints) or (errors or said or ["dvc failed"])[-1], code)


def end(process: subprocess.Popen[str]) -> None:
    """End a process and its whole group: DVC does not stop its stage when it is stopped itself."""
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
