"""The difference of two rewards as far as their texts tell it, without compiling them."""

from __future__ import annotations

import ast
import contextlib
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reelward.runtime.words import printable
from reelward.sim.field import Field

Constants = Mapping[str, object]
"""Module constants of a reward by name: numbers, strings, tables and lists of them."""


def changed_constants(old: Constants, new: Constants) -> dict[str, tuple[object, object]]:
    """The constants that differ, `TARGET knee` -> (old, new), None where one is absent.

    Lists of equal length are compared by their elements, others by how many numbers they hold.
    """
    return _changed("", old, new)


def _changed(name: str, old: object, new: object) -> dict[str, tuple[object, object]]:
    tables = [v for v in (new, old) if isinstance(v, Mapping)]
    if tables and all(v is None or isinstance(v, Mapping) for v in (old, new)):
        before, after = ({} if v is None else dict(v) for v in (old, new))  # type: ignore[call-overload]
        pairs = {key: (before.get(key), after.get(key)) for table in tables for key in table}
    elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        pairs = dict(enumerate(zip(old, new, strict=True)))
    else:
        return {} if old == new else {name: (_short(old), _short(new))}
    return {
        printable(path): change
        for key, pair in pairs.items()
        for path, change in _changed(f"{name} {key}".strip(), *pair).items()
    }


def _short(value: object) -> object:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, str):
        return printable(value)
    return f"{len(value)} numbers" if isinstance(value, tuple) else value


def text_difference(
    old: str, new: str, old_title: str, new_title: str, context: int = 3
) -> list[str]:
    """The lines of a unified difference, titles first; empty where the texts are equal. Characters
    that a terminal would obey are escaped."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), old_title, new_title, n=context, lineterm=""
    )
    return [printable(line, keep="\t") for line in lines]


@dataclass(frozen=True)
class RewardChange:
    """What changed from one reward to the next."""

    added: list[str]
    """names of terms"""
    removed: list[str]
    constants: dict[str, tuple[object, object]]
    """`TARGET knee` -> old and new value"""
    difference: list[str]
    """lines of the unified difference"""
    source: str


def reward_change(
    before: str, after: str, titles: tuple[str, str], fields: Sequence[Field]
) -> RewardChange:
    """What changed from the reward `before` to the reward `after`; `titles` name their files, and
    `fields` are the robot's."""
    # Imported here: it loads torch, which the other functions do without.
    from reelward.language.spans import term_spans

    old, new = term_spans(before, fields), term_spans(after, fields)
    return RewardChange(
        [name for name in new if name not in old],
        [name for name in old if name not in new],
        changed_constants(_constants(before), _constants(after)),
        text_difference(before, after, *titles),
        after,
    )


def _constants(source: str) -> Constants:
    """The module constants that are written as plain values; one that is computed from others is left
    out, and its change is in the text."""
    constants: dict[str, object] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(name := node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                constants[name.id] = _tuples(ast.literal_eval(node.value))
    return constants


def _tuples(value: object) -> object:
    if isinstance(value, dict):
        return {key: _tuples(v) for key, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
