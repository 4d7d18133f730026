"""Authors: they write candidate rewards. `AUTHORS` is the only registry."""

from __future__ import annotations

from reelward.authors import fixed, llm, measured
from reelward.authors.base import Author
from reelward.records import AuthorKind

AUTHORS: dict[AuthorKind, Author] = {"measured": measured, "llm": llm, "fixed": fixed}
