"""Checkpoints of a training: two are kept, each whole and with its digest."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from reelward.runtime import files

KEEP = 2


class Checkpoints:
    """Folders `NUMBER/state.pt` below `folder`, the highest number the newest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _numbers(self) -> list[int]:
        return sorted(int(p.name) for p in self.folder.glob("[0-9]*") if p.name.isdigit())

    def save(self, number: int, state: dict[str, Any]) -> None:
        with files.new_folder(self.folder / str(number)) as new:
            files.save_tensors(new / "state.pt", state)
        for old in self._numbers()[:-KEEP]:
            shutil.rmtree(self.folder / str(old))

    def newest(self) -> dict[str, Any] | None:
        """The newest state whose bytes are those that were written, or None. A damaged one is
        named on stderr and the one before it is taken."""
        for number in reversed(self._numbers()):
            try:
                return files.load_tensors(files.verified(self.folder / str(number) / "state.pt"))
            except files.FileError as e:
                print(f"reelward: {e}; going back to the checkpoint before", file=sys.stderr)
        return None
