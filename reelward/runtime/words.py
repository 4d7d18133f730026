"""Parts of sentences for messages."""

from __future__ import annotations


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: 1 term, 2 terms. Give the plural where it is not the singular and s."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
