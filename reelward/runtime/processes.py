"""Processes that end when their parent ends."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import select
import signal
import sys
import threading
import types
from pathlib import Path

from reelward.runtime.words import show

CALLER = "REELWARD_CALLER"
"""Environment variable: PID of the calling flow. A stage cannot recover its parent's identity after that
parent dies."""

SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ksh", "busybox"}


def die_with_parent() -> None:
    """End this process at once when its parent ends, even by SIGKILL. Every stage calls this, and
    every worker process before anything else.

    The kernel's parent-death signal covers only the direct parent. Behind a shell or a fork server, a
    thread watches the process that matters: DVC or the stage."""
    before = os.getppid()
    death_signal()
    if (parent := multiprocessing.parent_process()) is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the stage too, which decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pid = parent.pid if parent is not None and parent.pid else _behind_shells(before)
    if before != os.getppid():
        os.kill(os.getpid(), signal.SIGKILL)
    if pid > 1:
        follow(pid)
    if caller := os.environ.get(CALLER):
        follow(int(caller))


def stop_in_one_line(name: str) -> None:
    """End this process with one line on SIGINT or SIGTERM, until it sets handlers of its own: Python
    would print a traceback for a program `name` that is still importing what it needs."""

    def stop(number: int, _frame: types.FrameType | None) -> None:
        word = signal.Signals(number).name
        show(f"reelward {name}: stopped by {word}", sys.stderr)
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def death_signal() -> None:
    """Have the kernel kill this process when its parent's thread ends: a `preexec_fn` for children."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _behind_shells(pid: int) -> int:
    with contextlib.suppress(OSError):
        while pid > 1 and Path(f"/proc/{pid}/comm").read_text().strip() in SHELLS:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def follow(pid: int) -> None:
    """End this process at once when process `pid` ends."""
    threading.Thread(target=_end_with, args=(pid,), daemon=True, name="parent").start()


def _end_with(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(pid)], [], [])
    os.kill(os.getpid(), signal.SIGKILL)
