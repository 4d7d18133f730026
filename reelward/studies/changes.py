"""The difference of two rewards in constants and text, without compiling them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

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
        path: change
        for key, pair in pairs.items()
        for path, change in _changed(f"{name} {key}".strip(), *pair).items()
    }


def _short(value: object) -> object:
    if isinstance(value, Mapping):
        return "a table"
    return f"{len(value)} numbers" if isinstance(value, tuple) else value


def text_difference(
    old: str, new: str, old_title: str, new_title: str, context: int = 3
) -> list[str]:
    """The lines of a unified difference, titles first; empty where the texts are equal."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), old_title, new_title, n=context, lineterm=""
    )
    return list(lines)
