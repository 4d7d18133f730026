"""Allow this process a list of system calls; all others fail.

The list is what Python, torch and PyAV need to compute on what is already open, to read files and to
start threads. A call that takes another process, a privilege or a lasting change is either not on
the list or allowed with harmless arguments only. A call that is new in the kernel stays refused.

libseccomp writes such filters too, but its Python packages do not bring the library itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

from system_calls import NoSuchSystemCall, NotSupportedSystemCall, syscalls

MACHINES = {"x86_64": ("x86_64", 0xC000003E), "aarch64": ("arm64", 0xC00000B7)}
"""Machine -> its name in the table of system calls, and its number in the kernel's audit."""

ALLOWED = """
read readv pread64 write writev close lseek fstat stat lstat newfstatat statx access faccessat
faccessat2 readlink readlinkat getdents64 getcwd dup poll ppoll select pselect6
mmap munmap mprotect mremap madvise brk membarrier msync
futex set_robust_list rseq set_tid_address arch_prctl exit exit_group restart_syscall
rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
getpid gettid getppid getuid geteuid getgid getegid uname sysinfo getrusage getrandom times
sched_yield sched_getaffinity getcpu getrlimit
clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time
""".split()


class Condition(NamedTuple):
    """What must hold of one 32-bit word of a call's arguments; argument i has words 2 i and 2 i + 1."""

    word: int
    kind: Literal["is", "has", "lacks"]
    """The word is one of the values, or has (lacks) the bits of the one value."""
    values: tuple[int, ...]


WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
THREAD, NAMESPACES = 0x10000, 0x7E020080
"""Flags of clone: CLONE_THREAD, and CLONE_NEW... of every namespace."""
TERMINAL, CLOSE_ON_EXEC, KEEP_ON_EXEC = 0x5401, 0x5451, 0x5450
"""TCGETS (Python asks it of every file that it opens), FIOCLEX, FIONCLEX."""
SET_NAME, GET_NAME, NAME_MEMORY = 15, 16, 0x53564D41
"""Options of prctl."""

CONDITIONS: Mapping[str, tuple[Condition, ...]] = {
    "open": (Condition(2, "lacks", (WRITE,)),),
    "openat": (Condition(4, "lacks", (WRITE,)),),
    "clone": (Condition(0, "has", (THREAD,)), Condition(0, "lacks", (NAMESPACES,))),
    "fcntl": (
        Condition(2, "is", (fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD,
                            fcntl.F_GETFL)),
    ),
    "ioctl": (Condition(2, "is", (TERMINAL, CLOSE_ON_EXEC, KEEP_ON_EXEC)),),
    "prctl": (Condition(0, "is", (SET_NAME, GET_NAME, NAME_MEMORY)),),
    # Only the caller's own limits, and only to read them.
    "prlimit64": tuple(Condition(word, "is", (0,)) for word in (0, 4, 5)),
}  # fmt: skip
"""Calls that are allowed with some arguments only."""

NEW = 424
"""From this number on libc tries a call first and falls back to an older one at ENOSYS."""

LOAD, EQUAL, AT_LEAST, BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
"""Instructions of the filter's machine (classic BPF), and what it returns."""

Step = tuple[int, int, int, int]
"""Instruction, steps to skip if true, steps to skip if false, value."""


def program(machine: str) -> list[Step]:
    """The filter for a machine of MACHINES."""
    name, audit = MACHINES[machine]
    steps: list[Step] = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, audit), (RETURN, 0, 0, KILL)]
    steps.append((LOAD, 0, 0, 0))
    for call in (*ALLOWED, *CONDITIONS):
        with contextlib.suppress(NoSuchSystemCall, NotSupportedSystemCall):
            number = syscalls().get(call, name)
            body = [step for c in CONDITIONS.get(call, ()) for step in _required(c)]
            body.append((RETURN, 0, 0, ALLOW))
            steps += [(EQUAL, 0, len(body), number), *body]
    return [*steps, (AT_LEAST, 0, 1, NEW), (RETURN, 0, 0, ENOSYS), (RETURN, 0, 0, EPERM)]


def _required(condition: Condition) -> list[Step]:
    """Steps that refuse the call unless the condition holds."""
    word, kind, values = condition
    load, refuse = (LOAD, 0, 0, 16 + 4 * word), (RETURN, 0, 0, EPERM)
    if kind == "is":
        tests = [(EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
        return [load, *tests, refuse]
    return [load, (BITS, 1, 0, values[0]) if kind == "has" else (BITS, 0, 1, values[0]), refuse]


def filter_system_calls() -> None:
    """Filter the system calls of all threads of this process, where the kernel and the machine allow
    it. The process must have no_new_privs."""
    if (machine := platform.machine()) not in MACHINES:
        return
    steps = program(machine)
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    set_filter, all_threads = 1, 1
    seccomp = syscalls().get("seccomp", MACHINES[machine][0])
    ctypes.CDLL(None).syscall(seccomp, set_filter, all_threads, ctypes.c_char_p(head))
