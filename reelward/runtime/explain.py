"""An exception as an exit code and one line for the user."""

from __future__ import annotations

import contextlib
import errno
import traceback
from pathlib import Path

from reelward.runtime.errors import StageError
from reelward.runtime.settings import setting
from reelward.runtime.words import one_line

FAULT = 70
"""Exit code of what reelward did not expect."""
OUT_OF_MEMORY = ("Failed to allocate", "bad_alloc", "can't allocate memory", "not enough memory")
"""how Warp, C++, torch and MuJoCo say it"""


def explain(e: BaseException) -> tuple[int, str]:
    """Exit code and message for the exception that ended a stage. An error of reelward carries its
    `code` and may hold several complaints, a line each. With the setting `debug`, the traceback is
    printed too."""
    with contextlib.suppress(Exception):  # the exception may be about a broken local.yaml
        if str(setting("debug", "")).lower() in ("1", "true"):
            traceback.print_exception(e)
    ours = isinstance(e, ValueError) and type(e).__module__.startswith("reelward")
    complaints = str(e).split("\n") if ours or isinstance(e, StageError) else [str(e)]
    line = "\n".join(filter(None, (" ".join(s.split()) for s in complaints))) or type(e).__name__
    if isinstance(code := getattr(e, "code", 2 if ours else None), int):
        return code, line
    if type(e).__module__.startswith("dvc."):
        return 2, line
    full = type(e).__name__ == "OutOfMemoryError" or any(words in line for words in OUT_OF_MEMORY)
    if isinstance(e, MemoryError) or full:
        return 5, f"out of memory ({line}); make num_envs smaller or free some memory"
    if isinstance(e, OSError):
        what = f"{one_line(e.filename)}: {e.strerror}" if e.filename else line
        if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return 5, f"{what}; free some space and run it again"
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return 5, f"{what}; make it writable for this user and run it again"
        if isinstance(e, FileNotFoundError):
            if str(e.filename).startswith(("data/", "rewards/")):
                what += "; make it: dvc repro, or bring it: dvc pull"
            return 2, what
        if e.errno is not None:
            return 5, what
    where = traceback.extract_tb(e.__traceback__)[-1:]
    at = f" at {Path(where[0].filename).name}:{where[0].lineno}" if where else ""
    return (
        FAULT,
        f"a fault of reelward{at}: {type(e).__name__}: {line}; REELWARD_DEBUG=1 shows more",
    )
