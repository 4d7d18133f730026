"""Locks of output files and of devices."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from reelward.runtime.errors import ResourceError

LOCKS = Path("scratch/locks")

LOCK_WAIT = 5.0
"""s that a second writer waits: a killed one needs a moment to die"""


def lock(path: Path) -> io.TextIOWrapper:
    """Exclusive lock of an output, held until the file returned is closed or its process ends.
    Raises ResourceError naming the other writer when it is still there after LOCK_WAIT."""

    def refuse(pid: str) -> None:
        raise ResourceError(
            f"{path} is being written by process {pid}; wait for it, or end it: kill {pid}"
        )

    LOCKS.mkdir(parents=True, exist_ok=True)
    return _held(LOCKS / quote(os.path.relpath(path), safe=""), LOCK_WAIT, refuse)


@functools.cache
def device_lock(name: str) -> io.TextIOWrapper:
    """Exclusive lock of a device of this machine, for the rest of this process, whichever clone and
    whoever's it is. Waits for another process to end, and says so in one line."""

    def say(pid: str) -> None:
        print(f"reelward: {name} is in use by process {pid}; waiting for it", file=sys.stderr)

    path = Path(tempfile.gettempdir()) / f"reelward-{quote(name, safe='')}.lock"
    if not path.exists():
        with open(path, "a") as new, contextlib.suppress(PermissionError):
            os.fchmod(new.fileno(), 0o666)  # another user locks the same file
    return _held(path, 0.5, say)


def _held(path: Path, patience: float, late: Callable[[str], None]) -> io.TextIOWrapper:
    """The file, locked by the kernel, which lets go of it when this process ends, however it ends.
    Calls `late` with the holder's PID after `patience` s, then waits on."""
    held = open(path, "r+" if path.exists() else "a+")
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                held.seek(0)
                late(held.read())
                deadline = math.inf
            time.sleep(0.1)
    held.seek(0)
    held.truncate()
    held.write(str(os.getpid()))
    held.flush()
    return held
