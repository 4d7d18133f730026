"""Limits of a download, also of one that another program makes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reelward.runtime.errors import NetworkError, ResourceError
from reelward.runtime.processes import death_signal
from reelward.runtime.words import show

SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)$", re.I)
"""What the name of an environment variable ends with if it holds a secret."""
POLL = 0.2
"""s between two looks at a program that downloads"""
SILENT = 10.0
"""s between two lines on how far it is"""


@dataclass(frozen=True)
class Limits:
    """Limits of a download. `private` allows loopback and private addresses, for tests."""

    bytes: int
    seconds: float = 900.0
    private: bool = False

    @property
    def too_large(self) -> str:
        """What to tell the user of a file over the limit."""
        return (
            f"larger than max_mb = {self.bytes // 1_000_000}; give a smaller file or a higher cap"
        )


def run_within(
    command: Sequence[str], folder: Path, limits: Limits, name: str
) -> subprocess.CompletedProcess[str]:
    """Run a program that downloads `name` into `folder`, without the secrets of the environment. It ends
    with all its processes when it takes too long or writes too much. Raises NetworkError,
    ResourceError."""
    environment = {k: v for k, v in os.environ.items() if not SECRET.search(k)}
    environment["TMPDIR"] = str(folder)  # counted, and removed with it
    begun = told = time.monotonic()
    with (
        tempfile.TemporaryFile("w+", errors="replace") as out,
        tempfile.TemporaryFile("w+", errors="replace") as err,
    ):
        child = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True, preexec_fn=death_signal,
        )  # fmt: skip
        try:
            while child.poll() is None:
                time.sleep(POLL)
                size, now = _size(folder), time.monotonic()
                if size > limits.bytes:
                    raise ResourceError(f"{name}: {limits.too_large}")
                if now - begun > limits.seconds:
                    raise NetworkError(
                        f"{name}: took more than {limits.seconds:.0f} s; try again later"
                    )
                if now - told > SILENT:
                    show(f"{name}: {size / 1e6:.1f} MB so far", sys.stderr)
                    told = now
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(command, child.returncode, out.read(), err.read())


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # renamed meanwhile
            size += path.lstat().st_size
    return size
