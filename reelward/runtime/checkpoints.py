"""Checkpoints of a training: the newest two are kept, each written as a whole with its digest."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from reelward.runtime import files

KEEP = 2
"""Checkpoints to keep: the newest, and one to go back to if the newest is damaged."""


class Checkpoints:
    """Files `NUMBER/state.pt` in `folder`; the highest number is the newest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _numbers(self) -> list[int]:
        return sorted(int(p.name) for p in self.folder.glob("[0-9]*") if p.name.isdigit())

    def save(self, number: int, state: Mapping[str, object]) -> None:
        """Write `state` (JSON with tensors in it) and delete the oldest checkpoints."""
        with files.new_folder(self.folder / str(number)) as new:
            files.save_tensors(new / "state.pt", state)
        for old in self._numbers()[:-KEEP]:
            shutil.rmtree(self.folder / str(old))

    def newest(self) -> Mapping[str, object] | None:
        """The newest state that is intact, None if there is none. A damaged one is reported on stderr,
        and the one before it is used."""
        for number in reversed(self._numbers()):
            try:
                return files.load_tensors(files.verified(self.folder / str(number) / "state.pt"))
            except files.FileError as e:
                print(f"reelward: {e}; using the checkpoint before it", file=sys.stderr)
        return None
