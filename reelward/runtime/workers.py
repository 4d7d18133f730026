"""Candidates side by side: one process and one core each."""

from __future__ import annotations

import multiprocessing as mp
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from reelward.runtime.errors import ResourceError, StageError

PRELOAD = ("reelward.language", "reelward.policy", "reelward.sim.cpu", "reelward.sim.env")
"""what a training imports. The fork server does it once: under `python -m` it cannot load the module of
the work itself, and a worker that takes seconds for it cannot be ended meanwhile"""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _run(work: Callable[..., Any], job: Any, steps: Any, slot: int, errors: Any) -> None:
    from reelward.runtime.errors import StageError
    from reelward.runtime.explain import explain
    from reelward.runtime.processes import die_with_parent

    die_with_parent()

    def report(done: int) -> None:
        steps[slot] = done

    try:
        work(job, report)
    except Exception as e:
        code, text = explain(e)
        said = e if isinstance(e, StageError) else StageError(text)
        said.code = code
        errors.put((slot, said))
        raise SystemExit(1) from e


def spread(
    work: Callable[[Any, Callable[[int], None]], None],
    jobs: Sequence[Any],
    processes: int,
    watch: Callable[[list[int]], None],
    poll_s: float = 0.2,
) -> list[StageError | None]:
    """Run `work(job, report)` for every job, at most `processes` at a time, in the order given.

    `work` writes its result to files and calls `report(env_steps)` as it goes; `watch` gets the
    steps of all jobs now and then. Returns for each job None, or why it failed; of a job that died
    (killed, out of memory) that is a ResourceError. The others go on.
    """
    context = mp.get_context("forkserver")
    spec = sys.modules[work.__module__].__spec__
    package = [spec.parent] if spec and spec.parent else []  # first: it lets nobody outlive us
    context.set_forkserver_preload([*package, *PRELOAD])
    steps = context.Array("q", len(jobs), lock=False)
    errors: Any = context.SimpleQueue()
    failed: list[StageError | None] = [None] * len(jobs)
    running: dict[int, Any] = {}
    waiting = list(range(len(jobs)))
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                slot = waiting.pop(0)
                process = context.Process(target=_run, args=(work, jobs[slot], steps, slot, errors))
                process.start()
                running[slot] = process
            time.sleep(poll_s)
            watch(list(steps))
            for slot in [s for s, p in running.items() if not p.is_alive()]:
                code = running.pop(slot).exitcode
                if code:  # what it said itself may have come before
                    failed[slot] = failed[slot] or ResourceError(
                        f"ended with exit code {code}; what was trained is kept, run it again"
                    )
            while not errors.empty():
                slot, failed[slot] = errors.get()
        return failed
    finally:
        for process in running.values():
            process.kill()
