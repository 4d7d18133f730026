"""Locks of output files and of devices.

The kernel frees a lock when its process ends, however it ends. The lock file names the process that
holds the lock.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from reelward.runtime.errors import ResourceError
from reelward.runtime.words import show

LOCKS = Path("scratch/locks")

LOCK_WAIT = 5.0
"""s to wait for another writer: one that was killed may take a moment to end"""
DEVICE_WAIT = 0.5
"""s to wait for a device before saying so"""
PID = re.compile(rb"\d{0,10}")
"""What the file of a lock holds: nothing before its first holder."""


def lock(path: Path) -> FileLock:
    """Lock an output until the lock returned is released or deleted, or its process ends.
    Raises ResourceError, which names the other writer, where that still holds it after LOCK_WAIT."""
    file = LOCKS / quote(os.path.relpath(path), safe="")
    file.parent.mkdir(parents=True, exist_ok=True)
    held = _lock(file)
    try:
        _acquire(held, LOCK_WAIT)
    except Timeout:
        pid = _holder(file)
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
        _acquire(held, DEVICE_WAIT)
    except Timeout:
        pid = _holder(file)
        show(f"reelward: {name} is in use by process {pid}; waiting for it", sys.stderr)
        _acquire(held)
    return held


def _lock(file: Path) -> FileLock:
    """A lock that any user may take and that writes its holder's PID into its file. In a folder that
    others may write to, the file may be a link to one of the user's: only a lock's file is written to."""

    def name_holder(fd: int) -> None:
        status = os.fstat(fd)
        own = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if not own or not PID.fullmatch(os.pread(fd, 32, 0)):
            raise ResourceError(f"{file}: expected a lock of reelward, got another file; remove it")
        os.truncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)

    return FileLock(
        file, mode=0o666, thread_local=False, fallback_to_soft=False, on_acquired=name_holder
    )


def _acquire(lock: FileLock, seconds: float = -1) -> None:
    """Wait so many seconds for a lock, or for ever. Raises Timeout; ResourceError where its file cannot
    be one."""
    try:
        lock.acquire(seconds)
    except OSError as e:
        if isinstance(e, Timeout) or e.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise ResourceError(
            f"{lock.lock_file}: expected a lock of reelward, got {e.strerror}; remove it"
        ) from None


def _holder(file: Path) -> str:
    """PID in the file of a lock."""
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as f:
        content = f.read(32)
    return content.decode() if PID.fullmatch(content) and content else "unknown"
