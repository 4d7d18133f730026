"""Parts of sentences for messages, and text of others as it may be printed."""

from __future__ import annotations

import re
from typing import TextIO


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


def show(text: object, file: TextIO | None = None) -> None:
    """Print lines, by default on stdout. Whatever else a terminal would obey is printed as an escape:
    names, files and servers are not ours. Nothing else in reelward prints."""
    print(printable(str(text), keep="\n"), file=file, flush=True)


def lines(text: str) -> list[str]:
    r"""The lines of a text, which end in \n, \r\n or \r. str.splitlines also splits at characters that
    JSON, YAML and Python allow in the middle of a line, such as U+2028."""
    return re.split(r"\r\n|\r|\n", text)
