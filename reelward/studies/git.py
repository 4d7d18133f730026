"""Git, as the studies use it: one command at a time, errors in one line.

Commits take a given list of paths and nothing else. Where git has no identity, these commits get one.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path


class StudyError(ValueError):
    """A study that cannot be made or entered."""


def git(*args: str, env: dict[str, str] | None = None) -> str:
    """The output of a git command. Raises StudyError with git's complaint in one line."""
    process = subprocess.run(
        ("git", *args), capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    if process.returncode:
        complaint = " ".join((process.stderr or process.stdout).split())
        raise StudyError(f"git {args[0]}: {complaint}")
    return process.stdout


def changed(*paths: str) -> bool:
    """Whether anything in `paths` differs from the last commit."""
    return bool(git("status", "--porcelain", "--", *paths))


def tracked(path: str) -> bool:
    """Whether git knows the file of this relative path."""
    return path in git("ls-files", "-z").split("\0")


def commit(paths: Iterable[str], message: str, always: bool = False) -> bool:
    """Commit what changed in `paths`. Returns whether there was a commit: with `always` there is one
    though nothing changed."""
    paths = tuple(paths)
    if existing := [p for p in paths if Path(p).exists()]:
        git("add", "--", *existing)
    names = git("diff", "--cached", "--name-only", "-z", "--", *paths).split("\0")[:-1]
    if not names and not always:
        return False
    only = ("--", *names) if names else ("--allow-empty", "--only")
    git("commit", "--quiet", "--message", message, *only, env=_identity())
    return True


def _identity() -> dict[str, str]:
    try:
        git("var", "GIT_AUTHOR_IDENT")
        git("var", "GIT_COMMITTER_IDENT")
        return {}
    except StudyError:
        who = {"NAME": "reelward", "EMAIL": "reelward@localhost"}
        return {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
