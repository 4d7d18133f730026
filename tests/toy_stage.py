"""A stage for tests that ends as it is told, with workers that never end by themselves."""

import errno
import multiprocessing
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward.runtime import errors, files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.processes import die_with_parent


@dataclass(frozen=True)
class Args:
    out: Out
    """folder to create"""
    seconds: Annotated[float, Field(ge=0, le=1000)]
    """of work"""
    does: str
    """how it ends"""
    layers: tuple[int, ...]
    """some numbers"""
    quick: bool
    """a flag"""
    note: str | None
    """anything"""


def sign_in():
    """Leave this process's PID in the folder pids."""
    Path("pids").mkdir(exist_ok=True)
    Path(f"pids/{os.getpid()}").touch()


def work():
    die_with_parent()
    sign_in()
    time.sleep(1000)


def main(args):
    print(args)
    if args.does == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    elif args.does == "memory":
        raise MemoryError
    elif args.does == "fault":
        raise ZeroDivisionError
    elif args.does == "readonly":
        raise PermissionError(errno.EACCES, "Permission denied", "data/x")
    elif args.does.endswith("Error"):
        raise getattr(errors, args.does)("expected this,\n got that")
    workers = []
    if args.does in ("fork", "forkserver"):
        context = multiprocessing.get_context(args.does)
        workers = [context.Process(target=work) for _ in range(2)]
    with files.new_folder(args.out) as out:
        for w in workers:
            w.start()
        (out / "a").write_bytes(b"x" * 2000)
        sign_in()
        time.sleep(args.seconds)
        for w in workers:
            w.kill()


if __name__ == "__main__":
    run_stage(main, Args)
