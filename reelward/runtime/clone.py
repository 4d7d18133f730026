"""The folder that a command runs in."""

from __future__ import annotations

from pathlib import Path

from reelward.runtime.errors import InputError

MARKS = (".git", "dvc.yaml", "robots", "prompts")
"""Every clone has these at its top."""


def require_clone() -> None:
    """Raises InputError unless the working directory is the top folder of a clone of reelward. Every
    command that reads or writes a clone calls this first."""
    here = Path.cwd()
    top = next((p for p in (here, *here.parents) if _is_clone(p)), None)
    if top != here:
        cure = f"cd {top}" if top else "enter it with cd, or make one with git clone"
        raise InputError(f"expected the top folder of a clone of reelward, got {here}; {cure}")


def _is_clone(folder: Path) -> bool:
    return all((folder / mark).exists() for mark in MARKS)
