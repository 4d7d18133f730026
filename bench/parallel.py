"""The same measurement in several processes at once, started together."""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

R = TypeVar("R")


class Gate(Protocol):
    """A measurement waits here until all others are ready."""

    def wait(self) -> object: ...
    def abort(self) -> None: ...


def side_by_side(work: Callable[..., R], count: int, *arguments: object) -> list[R]:
    """Results of `work(*arguments, seed, gate)` in `count` processes at once, each with its own
    seed. Raises RuntimeError if one fails."""
    context = mp.get_context("spawn")
    gate, answers = context.Barrier(count), context.SimpleQueue()
    processes = [
        context.Process(target=_answer, args=(answers, work, *arguments, seed, gate))
        for seed in range(count)
    ]
    for process in processes:
        process.start()
    results = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    for result in results:
        if isinstance(result, Exception):
            raise RuntimeError("a measurement failed") from result
    return results


def _answer(answers: Any, work: Callable[..., Any], *arguments: Any) -> None:
    try:
        answers.put(work(*arguments))
    except Exception as e:
        arguments[-1].abort()
        answers.put(RuntimeError(f"{type(e).__name__}: {e}"))
