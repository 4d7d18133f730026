"""Text of others, as it may be printed."""

from __future__ import annotations


def printable(text: object, most: int = 300) -> str:
    """One line of at most `most` characters, without codes that a terminal obeys."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else "?" for c in line)[:most]
