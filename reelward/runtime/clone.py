"""The folder that a command runs in."""

from __future__ import annotations

from pathlib import Path

from reelward.runtime.errors import InputError

MARKS = ("dvc.yaml", "robots", "prompts")
"""Every clone has these at its top."""


def require_clone() -> None:
    """Raises InputError where the working directory is not the top folder of a git clone of
    reelward. Every command that reads a clone's files calls this first."""
    here = Path.cwd()
    places = (here, *here.parents)
    top = next((p for p in places if all((p / mark).exists() for mark in MARKS)), None)
    if top is None:
        raise InputError(f"expected a clone of reelward, got {here}; go to yours: cd CLONE")
    if top != here:
        raise InputError(f"expected the top folder of the clone, got {here}; go there: cd {top}")
    if not any((p / ".git").exists() for p in places):
        raise InputError(f"expected a clone of reelward, got {here} without git: git clone ADDRESS")
