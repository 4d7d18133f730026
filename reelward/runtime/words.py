"""Parts of sentences for messages, and text of others as it may be printed."""

from __future__ import annotations


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: 1 term, 2 terms. Give the plural where it is not the singular and s."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def printable(text: str, keep: str = "") -> str:
    """`text` with every character that a terminal would not show as an escape, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        c
        if c.isprintable() or c in keep
        else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def one_line(text: object, most: int = 300) -> str:
    """A text as one printable line of at most `most` characters."""
    return printable(" ".join(str(text).split()))[:most]
