"""Locks of output files and of devices.

The kernel frees a lock when its process ends, however it ends. The lock file names the process that
holds the lock.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from reelward.runtime.errors import ResourceError

LOCKS = Path("scratch/locks")

LOCK_WAIT = 5.0
"""s to wait for another writer: one that was killed may take a moment to end"""
DEVICE_WAIT = 0.5
"""s to wait for a device before saying so"""


def lock(path: Path) -> FileLock:
    """Lock an output until the lock returned is released or deleted, or its process ends.
    Raises ResourceError, which names the other writer, where that still holds it after LOCK_WAIT."""
    file = LOCKS / quote(os.path.relpath(path), safe="")
    file.parent.mkdir(parents=True, exist_ok=True)
    held = _lock(file)
    try:
        held.acquire(LOCK_WAIT)
    except Timeout:
        pid = file.read_text()
        raise ResourceError(
            f"{path} is being written by process {pid}; wait for it, or end it: kill {pid}"
        ) from None
    return held


@functools.cache
def device_lock(name: str) -> FileLock:
    """Lock a device of this machine for the rest of this process, against every clone and every
    user. Waits for another process to end, and says so in one line."""
    file = Path(tempfile.gettempdir()) / f"reelward-{quote(name, safe='')}.lock"
    held = _lock(file)
    try:
        held.acquire(DEVICE_WAIT)
    except Timeout:
        pid = file.read_text()
        print(f"reelward: {name} is in use by process {pid}; waiting for it", file=sys.stderr)
        held.acquire()
    return held


def _lock(file: Path) -> FileLock:
    """A lock that any user may take and that writes its holder's PID into its file."""

    def name_holder(fd: int) -> None:
        os.truncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)

    return FileLock(
        file, mode=0o666, thread_local=False, fallback_to_soft=False, on_acquired=name_holder
    )
