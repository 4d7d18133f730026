"""Why a reward is refused: one `Diagnostic` for each mistake, all mistakes of a pass together."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from reelward.runtime.words import printable

CODES = {
    "E_SYNTAX": "the text is not Python",
    "E_FORM": "this part of Python is not in the language",
    "E_LIMIT": "too long, too deep, too large or unrolled too often",
    "E_IMPORT": "only torch, numpy, math and typing may be imported",
    "E_NAME": "no such name, or it is set in one branch only",
    "E_FIELD": "the robot has no such field, or the field no such column",
    "E_OP": "no such function or method in the language",
    "E_ARG": "an argument is missing, unknown or of the wrong kind",
    "E_TYPE": "this operation is not defined for these kinds of value",
    "E_SHAPE": "the shapes do not fit together",
    "E_BATCH": "environments would be mixed, reduced, moved or picked out",
    "E_STATIC": "this must be known while compiling, but differs between environments",
    "E_STATE": "a reward changes nothing: no memory, no writing into tensors",
    "E_REWARD": "the file as a whole: `def reward(s)` returns a dict of named terms, each [N]",
    "E_CONTRACT": "on trial states a term is not finite, too large, or depends on more than the state of its environment",
}

HINTS = {
    "E_OP": "write it with arithmetic, torch.where, clamp, exp, norm and the like",
    "E_ARG": "call it as torch does, with numbers known while compiling",
    "E_TYPE": "operations take tensors and numbers: read a field, s.root_vel[:, 0]",
    "E_SHAPE": "the sizes after N must be equal or 1",
    "E_STATIC": "use torch.where for what differs between environments",
    "E_FORM": "write it with assignments, functions, `for`, `if` and expressions",
    "E_LIMIT": "write a shorter reward",
}
"""what to do about a mistake that says nothing better itself"""


@dataclass(frozen=True)
class Diagnostic:
    """One mistake. `line` and `col` count from 1; 0 means the file as a whole."""

    code: str
    line: int
    col: int
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        """Words of the text may hold anything; a mistake is printable and one line."""
        object.__setattr__(self, "message", printable(self.message))
        object.__setattr__(self, "hint", printable(self.hint))

    def __str__(self) -> str:
        fix = f" | fix: {self.hint}" if self.hint else ""
        return f"{self.code} line {self.line}, col {self.col}: {self.message}{fix}"


class RewardError(ValueError):
    """A reward that was refused; `errors` holds every mistake found."""

    def __init__(self, errors: Iterable[Diagnostic]) -> None:
        self.errors = sorted(errors, key=lambda e: (e.line, e.col))
        super().__init__("\n".join(map(str, self.errors)))


class Fail(Exception):
    """A mistake without its place, which the innermost expression around it adds."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the known names most similar to `name`, or all of them where they are few."""
    return _nearest(name[:60], tuple(sorted(set(known))))


@functools.lru_cache(maxsize=256)
def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    close += [k for k in known if k not in close and (name in k or k in name)][: 3 - len(close)]
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "there is " + ", ".join(known) if 0 < len(known) <= 24 else ""
