"""What every stage's entry point does: options, locks, signals, exit codes, one-line errors.

A section of params.yaml arrives as flags unpacked by DVC: `--env_steps 600000`, lists as several
values, null as `None`; an empty list gives no flag, so use null. A bool arrives as `--flag` or
`--no-flag`, which needs `parsing.bool: boolean_optional` in DVC's configuration.

A stage stays in the process group of whoever started it: DVC ignores Ctrl-C while a stage runs and
relies on the terminal to reach the stage too. What must not survive its parent dies by
`die_with_parent`, in the stage and in each of its workers.
"""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import errno
import fcntl
import functools
import io
import json
import math
import multiprocessing
import os
import re
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote

import tyro
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from ruamel.yaml import YAML, YAMLError

A = TypeVar("A")

OUTPUT = "output"
Out = Annotated[Path, OUTPUT]
"""type of an Args field that names an output: the stage holds its lock while it runs"""

LOCKS = Path("scratch/locks")
LOCK_WAIT = 5.0
"""s that a second writer waits: a killed one needs a moment to die"""
CALLER = "REELWARD_CALLER"
"""variable with the process of the flow: whom a stage's parent was, once that is dead, nobody can tell"""
HOW = (
    "renderer", "pull", "checkpoint_s", "require_jail", "debug", "mode", "calls", "call_seconds",
    "retry_seconds", "critic_server", "author_server", "budget_calls", "budget_tokens",
    "budget_money", "prices",
)  # fmt: skip
"""what local.yaml may say; a misspelt budget would be no budget"""
SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ksh", "busybox"}


class StageError(Exception):
    """An expected failure in one line: what was expected, what came, what to do."""

    code = 70


class InputError(StageError):
    code = 2


class VideoError(StageError):
    code = 3


class NetworkError(StageError):
    code = 4


class ResourceError(StageError):
    code = 5


class TrainingError(StageError):
    code = 6


class _Stopped(KeyboardInterrupt):
    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


def run(main: Callable[[A], None], Args: type[A]) -> None:
    """Entry point of a stage: parse, check, lock the outputs, `main(args)`, exit with its code."""
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    name = Path(sys.argv[0]).stem.replace("__main__", "check")
    code = 0
    try:
        args = _parse(Args, sys.argv[1:])
        held = [lock(path) for path in outputs(args)]
        main(args)
        del held
    except SystemExit:
        raise
    except BaseException as e:
        code, text = explain(e)
        for line in text.splitlines():
            print(f"reelward {name}: {line}", file=sys.stderr)
        for child in multiprocessing.active_children():
            child.kill()
    sys.exit(code)


def _stop(number: int, _frame: types.FrameType | None) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_DFL)
    raise _Stopped(number)


def explain(e: BaseException) -> tuple[int, str]:
    """Exit code and what to say of what ended a stage. An error of ours carries its `code`; it may
    hold several complaints, a line each. With `debug` the traceback is printed too."""
    with contextlib.suppress(Exception):  # a broken local.yaml may be what is to be explained
        if str(how("debug", "")).lower() in ("1", "true"):
            traceback.print_exception(e)
    line = "\n".join(" ".join(s.split()) for s in str(e).splitlines()) or type(e).__name__
    ours = isinstance(e, ValueError) and type(e).__module__.startswith("reelward")
    if isinstance(code := getattr(e, "code", 2 if ours else None), int):
        return code, line
    if type(e).__module__.startswith("dvc."):
        return 2, line
    full = type(e).__name__ == "OutOfMemoryError" or line.startswith("Failed to allocate")  # Warp
    if isinstance(e, MemoryError) or full:
        return 5, f"out of memory ({line}); make num_envs smaller or free some memory"
    if isinstance(e, OSError):
        what = f"{e.filename}: {e.strerror}" if e.filename else line
        if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return 5, f"{what}; free some space and run it again"
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return 5, f"{what}; make it writable for this user and run it again"
        if isinstance(e, FileNotFoundError):
            made = str(e.filename).startswith(("data/", "rewards/"))
            return 2, what + "; make it: dvc repro, or bring it: dvc pull" * made
        if e.errno is not None:
            return 5, what
    where = traceback.extract_tb(e.__traceback__)[-1:]
    at = f" at {Path(where[0].filename).name}:{where[0].lineno}" if where else ""
    return 70, f"a fault of reelward{at}: {type(e).__name__}: {line}; REELWARD_DEBUG=1 shows more"


def die_with_parent() -> None:
    """End this process at once when its parent ends, however that ends. For stages, and first of
    all in every worker process. The kernel's parent-death signal sees only the direct parent: a
    watch looks at the process behind a shell, or at the stage behind a fork server."""
    before = os.getppid()
    death_signal()
    if (parent := multiprocessing.parent_process()) is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the stage decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pid = parent.pid if parent is not None and parent.pid else _behind_shells(before)
    if before != os.getppid():
        os.kill(os.getpid(), signal.SIGKILL)
    if pid > 1:
        follow(pid)
    if caller := os.environ.get(CALLER):
        follow(int(caller))


def death_signal() -> None:
    """The kernel kills this process when its parent's thread ends: for `preexec_fn` of a child."""
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


def outputs(args: Any) -> list[Path]:
    """Values of the fields marked `Out`."""
    hints = get_type_hints(type(args), include_extras=True)
    return [getattr(args, n) for n, h in hints.items() if OUTPUT in getattr(h, "__metadata__", ())]


def _parse(Args: type[A], argv: list[str]) -> A:
    for name, hint in get_type_hints(Args).items():
        if hint is bool:  # tyro wants a value where DVC gives --flag or --no-flag
            dash = name.replace("_", "-")
            names = {f"--{name}": "True", f"--{dash}": "True"}
            names |= {f"--no-{name}": "False", f"--no-{dash}": "False"}
            argv = [p for a in argv for p in ((f"--{name}", names[a]) if a in names else (a,))]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            args = tyro.cli(Args, args=argv, description=sys.modules[Args.__module__].__doc__)
    except SystemExit as e:
        if not e.code:
            raise
        _, _, box = said.getvalue().partition("\n")
        text = " ".join(re.sub("[│╭╮╰╯─]", " ", box).split())
        raise InputError(text.partition(" For full helptext")[0] + "; see --help") from None
    if complaints := validate(Args, {n: getattr(args, n) for n in get_type_hints(Args)}):
        raise InputError("\n".join(complaints))
    return args


def validate(Args: type, values: dict[str, Any], where: str = "") -> list[str]:
    """One line for each key of `values` that `Args` does not know, or whose type or range is not
    what the field says; each begins with `where` and the key."""
    hints = get_type_hints(Args, include_extras=True)
    complaints = []
    for key, value in values.items():
        begin = f"{where}{key} = {shown(value)}: "
        if key not in hints:
            complaints.append(begin + "unknown key; " + nearest(key, hints))
            continue
        try:
            text = json.dumps(value, allow_nan=False, default=str)
            TypeAdapter(hints[key]).validate_json(text, strict=True)
        except (ValidationError, ValueError):
            complaints.append(begin + f"expected {expected(hints[key])}")
    return complaints


def nearest(key: str, known: Any) -> str:
    """The hint of an unknown key."""
    near = difflib.get_close_matches(str(key), known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"


def shown(value: Any) -> str:
    text = str(value) if isinstance(value, str | Path) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def expected(hint: Any) -> str:
    """A type and its range in words, e.g. `a number between 0 and 1`."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        limits = [c for m in inner[1:] for c in getattr(m, "metadata", [m])]
        b = {k: getattr(c, k) for c in limits for k in ("gt", "ge", "lt", "le") if hasattr(c, k)}
        for form in filter(None, (getattr(m, "description", None) for m in inner[1:])):
            return str(form)
        if set(b) == {"ge", "le"}:
            return f"{expected(inner[0])} between {b['ge']} and {b['le']}"
        words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
        return " ".join((expected(inner[0]), " and ".join(f"{words[k]} {b[k]}" for k in b))).strip()
    if origin is Literal:
        return f"one of {', '.join(map(shown, inner))}"
    if origin in (Union, types.UnionType):
        return " or ".join(map(expected, inner)).strip(",")
    if origin in (tuple, list):
        count = "" if origin is list or ... in inner else f" of {len(inner)}"
        return f"a list{count}, each {expected(inner[0])},"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return (names | {Path: "a path", type(None): "null"}).get(hint, str(hint))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, read as DVC reads it. Raises InputError."""
    try:
        got = YAML(typ="safe").load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (YAMLError, UnicodeDecodeError) as e:
        mark = getattr(e, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: no YAML: {getattr(e, 'problem', None) or e}") from None
    if not isinstance(got, dict):
        raise InputError(f"{path}: expected keys and values, found {shown(got)}")
    return got


def how(name: str, default: Any = None) -> Any:
    """How it runs: environment REELWARD_NAME, else `name` in local.yaml, else `default`, whose type
    it takes."""
    value = os.environ.get(f"REELWARD_{name.upper()}")
    if value is None and (local := Path("local.yaml")).is_file():
        said = read_yaml(local)
        for key in said.keys() - set(HOW):
            raise InputError(f"{local}: {key}: unknown key; {nearest(key, HOW)}")
        value = said.get(name)
    if value is None or default is None or isinstance(default, str):
        return default if value is None else value
    try:
        kind = bool if isinstance(default, bool) else type(default)
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        raise InputError(
            f"{name} = {shown(value)} (REELWARD_{name.upper()} or local.yaml): "
            f"expected {expected(type(default))}"
        ) from None


class Bar:
    """Progress of a stage on stderr: a bar on a terminal, else a line now and then."""

    EVERY = 5.0
    """s between plain lines"""

    def __init__(self, total: float, what: str) -> None:
        self.total, self.what, self.done = total, what, 0.0
        self.begun = self.said = time.monotonic()
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        figures = TextColumn("{task.fields[figures]}")
        self.bar = Progress(*columns, figures, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task(what, total=total, figures="")

    def advance(self, n: float = 1, **figures: float) -> None:
        self.update(self.done + n, **figures)

    def update(self, done: float, **figures: float) -> None:
        """`done` of the total are finished now; figures are shown beside it."""
        self.done, now = done, time.monotonic()
        text = "  ".join(f"{k} {v:.4g}" for k, v in figures.items())
        self.bar.update(self.task, completed=done, figures=text)
        if self.bar.disable and now - self.said >= self.EVERY and 0 < done < self.total:
            left = (now - self.begun) * (self.total - done) / done
            share = f"{100 * done / self.total:.0f} %, {left:.0f} s left"
            print(f"{self.what}: {share}  {text}".rstrip(), file=sys.stderr, flush=True)
            self.said = now


@contextlib.contextmanager
def progress(total: float, what: str) -> Iterator[Bar]:
    """A Bar for `total` pieces of work."""
    bar = Bar(total, what)
    with bar.bar:
        yield bar
