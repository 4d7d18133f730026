"""Progress of a stage on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from reelward.runtime.words import show


class Bar:
    """A bar on a terminal; elsewhere a line now and then."""

    EVERY = 5.0
    """s between lines"""

    def __init__(self, total: float, what: str) -> None:
        self.total, self.what, self.done = total, what, 0.0
        self.last_line = time.monotonic()
        self.first: tuple[float, float] | None = None
        """what was done at the first update, and when: before it lie a start-up and what a run before
        had done, so the speed is that since then"""
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        figures = TextColumn("{task.fields[figures]}")
        self.bar = Progress(*columns, figures, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task(what, total=total, figures="")

    def advance(self, n: float = 1, **figures: float) -> None:
        """`n` more of the total are done."""
        self.update(self.done + n, **figures)

    def update(self, done: float, **figures: float) -> None:
        """`done` of the total are done by now. The figures are printed beside the bar."""
        self.done, now = done, time.monotonic()
        self.first = self.first or (done, now)
        text = "  ".join(f"{k} {v:.4g}" for k, v in figures.items())
        self.bar.update(self.task, completed=done, figures=text)
        if self.bar.disable and now - self.last_line >= self.EVERY and 0 < done < self.total:
            share = f"{100 * done / self.total:.0f} %"
            if done > self.first[0]:
                left = (now - self.first[1]) * (self.total - done) / (done - self.first[0])
                share += f", {left:.0f} s left"
            show(f"{self.what}: {share}  {text}".rstrip(), sys.stderr)
            self.last_line = now


@contextlib.contextmanager
def progress(total: float, what: str) -> Iterator[Bar]:
    """A Bar for `total` pieces of work, named `what`."""
    bar = Bar(total, what)
    with bar.bar:
        yield bar
