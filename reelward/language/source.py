"""From a text to its syntax tree."""

from __future__ import annotations

import ast
import warnings

from reelward.language.errors import Diagnostic, RewardError

MAX_SOURCE = 16 * 1024
"""bytes"""
MAX_BRACKETS = 40


def parse(source: str) -> ast.Module:
    """The syntax tree. Only comments and words may hold more than ASCII. Raises RewardError."""
    if len(source.encode("utf-8", "replace")) > MAX_SOURCE:
        message = f"the text is longer than {MAX_SOURCE // 1024} KiB"
        raise _refusal("E_LIMIT", message, "write a shorter reward")
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
        row = (source.splitlines()[line - 1 : line] or [""])[0]
        foreign = next((c for c in row if ord(c) > 127), None)
        hint = f"write {foreign!r} in plain ASCII" if foreign else "answer with Python code alone"
        raise _refusal("E_SYNTAX", str(error.msg)[:120], hint, line, col) from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        message = "the text cannot be parsed: nested too deeply, a number too long, or a zero byte"
        raise _refusal("E_LIMIT", message) from error


def _refusal(code: str, message: str, hint: str = "", line: int = 0, col: int = 0) -> RewardError:
    return RewardError([Diagnostic(code, line, col, message, hint)])
