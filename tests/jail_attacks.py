"""What code that took over a jailed process would try on the user's processes, files and machine."""

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import struct
from collections.abc import Callable

from system_calls import NotSupportedSystemCall, syscalls

from reelward.runtime import jail
from reelward.runtime.seccomp import ALLOWED, CONDITIONS, THREAD

LIBC = ctypes.CDLL(None, use_errno=True)


LAYERS = {"landlock": "_landlock", "seccomp": "filter_system_calls"}


def prepare(payload: object) -> None:
    """Before the jail closes: take away the layer that the payload names."""
    if isinstance(payload, dict):
        setattr(jail, LAYERS[payload["without"]], lambda *_: None)


def signals(payload: dict[str, int]) -> dict[str, str]:
    """The error of each signal to a process outside."""
    victim = payload["victim"]
    return {name: called(syscalls().get(name), victim, 9) for name in ("kill", "tkill")}


def writes(payload: dict[str, str]) -> dict[str, str]:
    return files_changed(payload["path"])


def called(number: int, *args: object) -> str:
    """The error of a system call, "done" where there is none."""
    done = LIBC.syscall(number, *args, *[0] * (6 - len(args))) >= 0
    return "done" if done else errno.errorcode[ctypes.get_errno()]


def calls_off_the_list(_: None) -> dict[str, str]:
    """The error of every system call that the filter does not name, with zeros for arguments."""
    errors = {}
    probes = {
        "uprobe",
        "uretprobe",
    }  # the kernel lets them pass every filter, and kills who calls them
    for name in sorted(set(syscalls().names()) - {*ALLOWED, *CONDITIONS} - probes):
        try:
            errors[name] = called(syscalls().get(name))
        except NotSupportedSystemCall:
            continue
    return errors


def calls_with_bad_arguments(victim: int) -> dict[str, str]:
    """The error of each call that the filter allows with other arguments only."""
    limit = ctypes.create_string_buffer(struct.pack("QQ", 1, 1))
    new_user, sigkill, here = 0x10000000, 9, -100
    attempts: dict[str, tuple[str, tuple[object, ...]]] = {
        "own a file's signals": ("fcntl", (0, fcntl.F_SETOWN, victim)),
        "own them by a structure": ("fcntl", (0, 15, limit)),  # F_SETOWN_EX
        "choose the signal": ("fcntl", (0, 10, sigkill)),  # F_SETSIG
        "ask for the signal": ("fcntl", (0, fcntl.F_SETFL, os.O_ASYNC)),
        "own by ioctl": ("ioctl", (0, 0x8901, limit)),  # FIOSETOWN
        "type into a terminal": ("ioctl", (0, 0x5412, b"x")),  # TIOCSTI
        "an ioctl of 64 bits": ("ioctl", (0, ctypes.c_ulong(0x5412 | 1 << 40), b"x")),
        "lower its limit": ("prlimit64", (victim, resource.RLIMIT_CPU, limit, 0)),
        "read its limit": ("prlimit64", (victim, resource.RLIMIT_CPU, 0, limit)),
        "raise one's own": ("prlimit64", (0, resource.RLIMIT_FSIZE, limit, 0)),
        "fork": ("clone", (17,)),
        "a user namespace": ("clone", (THREAD | new_user,)),
        "outlive the parent": ("prctl", (1, 0)),  # PR_SET_PDEATHSIG
        "be traced by anybody": ("prctl", (0x59616D61, -1)),  # PR_SET_PTRACER
        "open to write": ("openat", (here, b"/dev/null", os.O_WRONLY)),
        "open to read and write": ("openat", (here, b"/dev/null", os.O_RDWR)),
        "open to create": ("openat", (here, b"/tmp/x", os.O_CREAT)),
        "open to empty": ("openat", (here, b"/dev/null", os.O_TRUNC)),
        "open without a name": ("openat", (here, b"/tmp", os.O_TMPFILE | os.O_RDWR)),
    }
    return {what: called(syscalls().get(name), *args) for what, (name, args) in attempts.items()}


def files_changed(path: str) -> dict[str, str]:
    """The error of each change to a file that may be read."""
    attempts: dict[str, Callable[[], object]] = {
        "write": lambda: open(path, "w"),
        "append": lambda: open(path, "a"),
        "truncate": lambda: os.truncate(path, 0),
        "chmod": lambda: os.chmod(path, 0),
        "chown": lambda: os.chown(path, 1, 1),
        "utime": lambda: os.utime(path),
        "setxattr": lambda: os.setxattr(path, "user.a", b"1"),
        "rename": lambda: os.rename(path, path + "2"),
        "link": lambda: os.link(path, path + "2"),
        "unlink": lambda: os.unlink(path),
    }
    errors = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            errors[name] = "done"
        except OSError as e:
            errors[name] = errno.errorcode[e.errno or 0]
    return errors


LIES = {
    "nesting": b"[" * 500_000,
    "no JSON": b"{",
    "a list": b"[]",
    "another key": b'{"answer": 1}',
    "half a chunk": b"1000\nx",
    "a chunk larger than memory": b"9" * 19 + b"\nx",
    "a size without end": b"9" * 2_000_000,
    "a code of the terminal": b'{"error": "\\u001b[2J", "code": 5}',
    "an exit code that is none": b'{"error": "why", "code": 1e300}',
    "a list for a code": b'{"error": ["why"], "code": [2]}',
}
"""What code that took over a jailed process would answer in place of the function."""


def lie(kind: str) -> None:
    for fd in range(3, 20):  # one of them is the pipe to the parent
        with contextlib.suppress(OSError):
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE:
                view = memoryview(LIES[kind])
                while view:
                    view = view[os.write(fd, view) :]
    os._exit(0)


def environment(_: None) -> dict[str, str]:
    return dict(os.environ)


def rights(_: None) -> dict[str, list[str]]:
    """Lines of the process's status that tell its capabilities, and its threads."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    return {name: lines[name].split() for name in ("CapPrm", "CapEff", "CapInh", "Threads")}
