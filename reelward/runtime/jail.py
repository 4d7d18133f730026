"""Run one function on untrusted input in a child process with the fewest possible rights.

`jailed("package.module:function", payload)` starts a fresh interpreter, which imports the module,
calls its `prepare(payload)` if it has one (to load what is loaded lazily), gives up its rights, and
only then calls the function. Payload and result are JSON. `streamed` yields the bytes that a generator
yields. Each layer is used where the system has it; safety never rests on one layer alone:

    rlimits     limits memory and processor time; no file grows, no core dump
    privileges  no capability, and no way to get one
    landlock    reads Python, its packages and `read`; writes nothing; signals nobody
    seccomp     the system calls of `seccomp.ALLOWED` only: no sockets, no file opened to write, no new
                programs or processes, nothing that reaches another process
    bubblewrap  namespaces of its own, no network, an empty /tmp, no environment
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from reelward.runtime.seccomp import filter_system_calls
from reelward.runtime.words import one_line

PACKAGE = Path(__file__).resolve().parents[1]
MAX_RESULT = 1 << 20
MAX_CHUNK = 1 << 28
REQUIRED = ("rlimits", "privileges", "landlock", "seccomp")
LAYERS = (*REQUIRED, "bubblewrap")

CODES = (2, 3, 4, 5, 6)
"""Exit codes that a jailed function may ask for."""

START = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); from {__name__} import _main; _main()"
"""The child's program. It imports this copy of the package, whichever is installed."""

PATIENCE = 10
"""A jailed child may take this many times its processor time on the clock."""


class JailError(RuntimeError):
    """The jailed function raised, ran out of time or memory, died, or gave no JSON."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        """exit code of the error that the function raised, where that has one"""


class JailMissing(JailError):
    """The whole jail is required, and this system lacks a layer of it."""


def jailed(
    function: str,
    payload: Any,
    *,
    timeout: float = 20.0,
    memory: int = 2 << 30,
    read: Sequence[Path] = (),
    require: bool = False,
) -> Any:
    """The JSON result of `function(payload)` in the jail.

    timeout  s of processor time, imports included, before the child is killed. On the clock it may
             take PATIENCE times as long, so that a busy machine changes no result.
    memory   bytes that it may take beyond its imports
    read     files or folders that it may read
    require  raise JailMissing where a layer other than bubblewrap is not active

    Raises JailError.
    """
    answer = streamed(function, payload, timeout=timeout, memory=memory, read=read, require=require)
    try:
        next(answer)
    except StopIteration as end:
        return end.value
    answer.close()
    raise JailError(f"{function} gave bytes, not a result")


def streamed(
    function: str,
    payload: Any,
    *,
    timeout: float,
    memory: int,
    read: Sequence[Path] = (),
    require: bool = False,
) -> Generator[bytes, None, Any]:
    """Yield the bytes that the generator `function(payload)` yields in the jail; return its result.
    Limits and errors are those of `jailed`."""
    missing = [name for name in REQUIRED if require and not layers()[name]]
    if missing:
        raise JailMissing(f"this system lacks {', '.join(missing)}: use Linux 5.13 or later", 5)
    request = {
        "function": function,
        "payload": payload,
        "timeout": timeout,
        "memory": memory,
        "read": [str(p.resolve()) for p in read],
    }
    command = [*_bubblewrap(tuple(request["read"])), sys.executable, "-I", "-c", START]
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        assert child.stdin and child.stdout
        late = threading.Timer(PATIENCE * timeout, child.kill)
        late.start()
        try:
            with contextlib.suppress(BrokenPipeError), child.stdin:
                child.stdin.write(json.dumps(request).encode())
            while (line := child.stdout.readline(MAX_RESULT + 1)).rstrip().isdigit():
                size = int(line[:20])
                chunk = child.stdout.read(min(size, MAX_CHUNK))
                if len(chunk) < size:
                    break
                yield chunk
            if child.stdout.read(1):
                raise JailError(f"{function} gave no answer of at most {MAX_RESULT} bytes")
            child.wait()
        finally:
            timed_out = not late.is_alive()
            late.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            child.stdout.close()
        if timed_out:
            raise JailError(f"{function} took longer than {PATIENCE * timeout:g} s")
        if number := -min(child.returncode, 0) or max(child.returncode - 128, 0):  # of bubblewrap
            raise JailError(f"{function} died of {signal.Signals(number).name}")
        log.seek(0)
        last = log.read().decode(errors="replace").strip().splitlines()[-1:]
    try:
        answer = json.loads(line) if len(line) <= MAX_RESULT else None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not answer.keys() & {"result", "error"}:
        why = "".join(f": {one_line(text, 200)}" for text in last)
        raise JailError(f"{function} gave no answer{why}")
    if "error" in answer:
        code = answer.get("code")
        raise JailError(one_line(answer["error"], 500), code if code in CODES else None)
    return answer["result"]


@functools.cache
def layers() -> dict[str, bool]:
    """Which layers are active on this system, as tested in a jailed child."""
    active = jailed("reelward.runtime.jail:_probe", None)
    return {name: bool(active[name]) for name in LAYERS}


def _probe(_: None) -> dict[str, bool]:
    import socket

    def refused(attempt: Any) -> bool:
        try:
            attempt()
        except PermissionError:
            return True
        except OSError:
            return False
        return False

    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    return {
        "rlimits": resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 0,
        "privileges": status["NoNewPrivs"].strip() == "1" and int(status["CapEff"], 16) == 0,
        "landlock": refused(lambda: os.listdir("/etc")),
        "seccomp": refused(lambda: socket.socket(socket.AF_INET)),
        "bubblewrap": os.environ.get("REELWARD_BUBBLEWRAP") == "1",
    }


@functools.cache
def _bubblewrap(read: tuple[str, ...]) -> tuple[str, ...]:
    """The command that starts a program under bubblewrap; empty where that fails."""
    program = shutil.which("bwrap")
    if program is None:
        return ()
    home = [str(p) for p in {Path(sys.prefix), Path(sys.base_prefix), PACKAGE.parent}]
    command = (
        program,
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        *[part for p in [*home, *read] for part in ("--ro-bind", p, p)],
        "--unshare-all",
        "--die-with-parent",
        "--setenv",
        "REELWARD_BUBBLEWRAP",
        "1",
        "--",
    )
    try:
        works = subprocess.run([*command, "/bin/true"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if works.returncode == 0 else ()


# -- in the child


def _main() -> None:
    _give_up_privileges(libc := ctypes.CDLL(None))
    request = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries may print; only the result goes to stdout
    module, _, name = request["function"].partition(":")
    imported = importlib.import_module(module)
    function = getattr(imported, name)
    try:
        getattr(imported, "prepare", lambda payload: None)(request["payload"])
        _lock(libc, request["memory"], request["timeout"], request["read"])
        result = function(request["payload"])
        if isinstance(result, Iterator):
            for chunk in result:
                out.write(b"%d\n" % len(chunk))
                out.write(chunk)
            result = None
        text = json.dumps({"result": result}, allow_nan=False)
    except MemoryError:
        text = json.dumps({"error": f"{request['function']} ran out of memory"})
    except Exception as error:
        if isinstance(code := getattr(error, "code", None), int):
            text = json.dumps({"error": str(error)[:500], "code": code})
        else:
            text = json.dumps({"error": f"{type(error).__name__}: {error}"[:500]})
    out.write(text.encode())
    out.flush()
    os._exit(0)


def _give_up_privileges(libc: ctypes.CDLL) -> None:
    """Before anything starts a thread: each thread has capabilities of its own."""
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    version_3 = struct.pack("=Ii", 0x20080522, 0)
    libc.capset(ctypes.c_char_p(version_3), ctypes.c_char_p(bytes(24)))


def _lock(libc: ctypes.CDLL, memory: int, timeout: float, read: Sequence[str]) -> None:
    """Give up this process's other rights, by every layer that works here."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    for limit, value in (
        (resource.RLIMIT_AS, used + memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, int(timeout) + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    _landlock(libc, read)
    filter_system_calls()


CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Landlock's system calls; they have the same numbers on all machines."""


def landlock_version() -> int:
    """Version of the kernel's Landlock; below 1 where it has none."""
    return ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1)


def _landlock(libc: ctypes.CDLL, read: Sequence[str]) -> None:
    """Allow reading Python's folders and `read`, no writing, and no signals to processes outside."""
    if (abi := landlock_version()) < 1:
        return
    rights = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
    handled = struct.pack("=Q", rights)
    if abi >= 4:
        handled += struct.pack("=Q", 0b11)  # TCP
    if abi >= 6:
        handled += struct.pack("=Q", 0b11)  # abstract sockets and signals
    ruleset = libc.syscall(CREATE_RULESET, handled, len(handled), 0)
    if ruleset < 0:
        return
    roots = [
        sys.prefix,
        sys.base_prefix,
        "/usr/lib",
        "/usr/lib64",
        "/lib",
        "/lib64",
        "/usr/share/zoneinfo",
        "/proc/self",
        "/dev/null",
        "/dev/urandom",
        str(PACKAGE),
        *read,
    ]
    for root in roots:
        with contextlib.suppress(OSError):
            fd = os.open(root, os.O_PATH | os.O_CLOEXEC)
            read_file, list_folder = 1 << 2, 1 << 3
            allowed = read_file | (list_folder if os.path.isdir(root) else 0)
            rule = struct.pack("=Qi", allowed, fd)
            libc.syscall(ADD_RULE, ruleset, 1, rule, 0)
            os.close(fd)
    libc.syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
