"""From a text to its syntax tree."""

from __future__ import annotations

import ast
import unicodedata
import warnings

from reelward.language.errors import Diagnostic, RewardError

MAX_SOURCE = 16 * 1024
"""bytes"""
MAX_BRACKETS = 40
FENCE = "`" * 3
"""of Markdown: around a reward in prompts and in the form of an approval"""
CODE_ALONE = "leave Python code alone in the text: no prose and no Markdown"
TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""characters that change the direction of writing, so that a text looks like another"""


def parse(source: str) -> ast.Module:
    """The syntax tree. Only comments and words may hold more than ASCII. A byte order mark and one
    Markdown fence around the whole text are skipped. Raises RewardError."""
    if len(source.encode("utf-8", "replace")) > MAX_SOURCE:
        message = f"the text is longer than {MAX_SOURCE // 1024} KiB"
        raise _refusal("E_LIMIT", message, "write a shorter reward")
    source = _unfenced(source.removeprefix("\ufeff").replace("\r\n", "\n"))
    _refuse_invisible(source)
    depth = 0
    for char in source:
        depth = depth + 1 if char in "([{" else max(0, depth - 1) if char in ")]}" else depth
        if depth > MAX_BRACKETS:
            raise _refusal("E_LIMIT", f"brackets nested deeper than {MAX_BRACKETS}")
    text = source.encode("ascii", "replace").decode("ascii")  # same length, so columns stay right
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        line, col = error.lineno or 0, error.offset or 0
        row = (source.split("\n")[line - 1 : line] or [""])[0]
        foreign = next((c for c in row if ord(c) > 127), None)
        hint = f"write {foreign!r} in plain ASCII" if foreign else _syntax_hint(row)
        raise _refusal("E_SYNTAX", str(error.msg)[:120], hint, line, col) from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        message = "the text cannot be parsed: nested too deeply, a number too long, or a zero byte"
        raise _refusal("E_LIMIT", message) from error


def _unfenced(source: str) -> str:
    """The text without a Markdown fence around all of it; lines keep their numbers."""
    lines = source.split("\n")
    full = [i for i, line in enumerate(lines) if line.strip()]
    if len(full) > 1 and lines[full[0]].startswith(FENCE) and lines[full[-1]].strip() == FENCE:
        lines[full[0]] = lines[full[-1]] = ""
    return "\n".join(lines)


def _refuse_invisible(source: str) -> None:
    """Raises RewardError for characters that a terminal obeys instead of showing them, and for a fence
    inside the text, which would end the one around it."""
    errors = []
    for number, line in enumerate(source.split("\n"), 1):
        for col, char in enumerate(line, 1):
            if char < " " and char != "\t" or char > "~" and _is_control(char):
                name = f"the invisible character U+{ord(char):04X}"
                hint = "save the file as UTF-8" if char == "\0" else "delete it"
                errors.append(Diagnostic("E_SYNTAX", number, col, name, hint))
                break
        if FENCE in line:
            errors.append(
                Diagnostic(
                    "E_SYNTAX", number, line.index(FENCE) + 1, "a Markdown fence", CODE_ALONE
                )
            )
    if errors:
        raise RewardError(errors[:20])


def _is_control(char: str) -> bool:
    return char in TURNING or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _syntax_hint(row: str) -> str:
    words = row.split()
    prose = len(words) > 3 and all(w.strip(".,:;!?'").isalpha() for w in words)
    return (
        CODE_ALONE
        if prose or row.startswith(("#", "-", "*"))
        else f"correct this line: {row.strip()[:80]}"
    )


def _refusal(code: str, message: str, hint: str = "", line: int = 0, col: int = 0) -> RewardError:
    return RewardError([Diagnostic(code, line, col, message, hint)])
