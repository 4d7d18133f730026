"""Checkpoints of a training: the newest two are kept, each written as a whole with its digest."""

from __future__ import annotations

import copy
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from reelward.runtime import files
from reelward.runtime.words import show

State = TypeVar("State", bound=Mapping[str, object])

KEEP = 2
"""Checkpoints to keep: the newest, and one to go back to if the newest is damaged."""


class Checkpoints:
    """Files `NUMBER/state.pt` in `folder`; the highest number is the newest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _numbers(self) -> list[int]:
        names = (p.name for p in self.folder.glob("[0-9]*") if p.is_dir())
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def save(self, number: int, state: Mapping[str, object]) -> None:
        """Write `state` (JSON with tensors in it) and delete the oldest checkpoints."""
        with files.new_folder(self.folder / str(number)) as new:
            files.save_tensors(new / "state.pt", state)
        for old in self._numbers()[:-KEEP]:
            shutil.rmtree(self.folder / str(old))

    def restore(self, state: Callable[[], State], load: Callable[[State], None]) -> bool:
        """`load` the newest checkpoint that is intact and fits. One that is damaged, or that `load` cannot
        use, is reported on stderr, and the one before it is used. False where none is left: then all is as
        `state()`, the training before its first step, says."""
        numbers = self._numbers()
        first = copy.deepcopy(state()) if numbers else None
        for number in reversed(numbers):
            folder = self.folder / str(number)
            try:
                content = files.load_tensors(files.verified(folder / "state.pt"))
            except files.FileError:
                why = "is damaged"
            else:
                try:
                    load(content)
                    return True
                except Exception as e:  # a file of another program may hold anything
                    assert first is not None
                    load(first)
                    why = f"is not of this training ({type(e).__name__})"
            then = (
                "the one before it is used" if number > numbers[0] else "the training starts anew"
            )
            show(f"reelward: checkpoint {folder} {why}; {then}", sys.stderr)
        return False
