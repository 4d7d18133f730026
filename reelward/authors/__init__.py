"""Authors: they write candidate rewards. `author` is the only registry."""

from __future__ import annotations

from reelward.authors import fixed, measured
from reelward.authors.base import Author
from reelward.records import AuthorKind


def author(kind: AuthorKind) -> Author:
    """The author of this kind."""
    if kind == "llm":
        from reelward.authors import llm  # here, because the client of its server is slow to load

        return llm
    return {"measured": measured, "fixed": fixed}[kind]
