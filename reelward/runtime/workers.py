"""Jobs side by side, each in a process of its own on one core."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from reelward.runtime.errors import ResourceError, StageError

J = TypeVar("J")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _run(work: Callable[..., Any], job: Any, done: Any, slot: int, errors: Any) -> None:
    from reelward.runtime.explain import explain
    from reelward.runtime.processes import die_with_parent

    die_with_parent()

    def report(amount: int) -> None:
        done[slot] = amount

    try:
        work(job, report)
    except Exception as e:
        code, text = explain(e)
        error = e if isinstance(e, StageError) else StageError(text)
        error.code = code
        errors.put((slot, error))
        raise SystemExit(1) from e


def spread(
    work: Callable[[J, Callable[[int], None]], None],
    jobs: Mapping[str, J],
    processes: int,
    report: Callable[[str, int], None],
    preload: Sequence[str] = (),
    poll_s: float = 0.2,
) -> dict[str, StageError]:
    """Run `work(job, report)` for every job, at most `processes` at a time, in the order given.

    `work` writes its result to files and calls its `report(amount)` as it goes; our `report` gets the
    job's name and its newest amount every `poll_s` seconds. Returns the errors of the jobs that
    failed, a ResourceError for a process that died (killed, out of memory). The other jobs continue.

    `preload` names modules that the fork server imports once, so that no worker spends its first
    seconds in an import.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    names = list(jobs)
    done = context.Array("q", len(names), lock=False)
    queue: Any = context.SimpleQueue()
    errors: dict[str, StageError] = {}
    waiting = list(enumerate(names))
    running: dict[str, Any] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                slot, name = waiting.pop(0)
                process = context.Process(target=_run, args=(work, jobs[name], done, slot, queue))
                process.start()
                running[name] = process
            time.sleep(poll_s)
            for name, amount in zip(names, done, strict=True):
                report(name, amount)
            ended = [name for name, process in running.items() if not process.is_alive()]
            exit_codes = {name: running.pop(name).exitcode for name in ended}
            while not queue.empty():
                slot, error = queue.get()
                errors[names[slot]] = error
            for name, code in exit_codes.items():
                if code and name not in errors:
                    errors[name] = ResourceError(
                        f"ended with exit code {code}; what was trained is kept, run it again"
                    )
        return errors
    finally:
        for process in running.values():
            process.kill()
