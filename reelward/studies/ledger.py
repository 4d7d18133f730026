"""The ledger loop.yaml: which iterations exist, from whose best each goes on, and which of them a
person refused before they were trained.

Functions from text to text. They change only what must change, so that comments and form stay.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

SEED = "seed"
"""the parent of the first iteration"""

FIRST = """\
# The ledger: which iterations exist, and from whose best each goes on. `reelward extend` appends.
iterations:
  iter-00: {parent: seed}
last: iter-00
"""


class LedgerError(ValueError):
    """A ledger that is not one."""


def name(number: int) -> str:
    """Of an iteration, counted from 0; the dash keeps it from being imported by accident."""
    return f"iter-{number:02d}"


def parents(text: str) -> dict[str, str]:
    """Each iteration's parent, in order. Raises LedgerError."""
    return {key: entry["parent"] for key, entry in _read(text)["iterations"].items()}


def last(text: str) -> str:
    """The iteration that is published. Raises LedgerError."""
    return _read(text)["last"]


def extended(text: str, to: int) -> str:
    """`text` with iterations appended until there are `to`, each the child of the one before.
    Raises LedgerError when there are more already."""
    have = len(parents(text))
    if to < have:
        raise LedgerError(f"expected at least the {have} iterations that loop.yaml has, got {to}")
    for number in range(have, to):
        text = _appended(text, name(number))
    return text


def refused(text: str) -> dict[str, str]:
    """Why a person refused an iteration's rewards, for those that were. Raises LedgerError."""
    entries = _read(text)["iterations"].items()
    return {key: entry["refused"] for key, entry in entries if "refused" in entry}


def refusal(text: str, key: str, why: str) -> str:
    """`text` with the rewards of iteration `key` refused, which needs a reason. Raises
    LedgerError."""
    if key in refused(text) or not why.split():
        raise LedgerError(f"{key}: expected one reason for refusing its rewards")
    entry = next(v for k, v in _iterations(text).value if k.value == key)
    name, parent = entry.value[0]
    at, between = parent.end_mark.index, ", "
    if not entry.flow_style:
        at, between = (text + "\n").index("\n", at), "\n" + " " * name.start_mark.column
    said = json.dumps(" ".join(why.split()), ensure_ascii=False)
    return f"{text[:at]}{between}refused: {said}{text[at:]}"


def _read(text: str) -> dict[str, Any]:
    try:
        got = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise LedgerError(f"loop.yaml is no YAML: {' '.join(str(e).split())}") from None
    match got:
        case {"iterations": dict(entries), "last": str(newest)} if len(got) == 2 and entries:
            pass
        case _:
            raise LedgerError("loop.yaml: expected `iterations` with at least one, and `last`")
    for number, (key, entry) in enumerate(entries.items()):
        if key != name(number):
            raise LedgerError(f"loop.yaml: expected {name(number)} in this place, got {key}")
        before = [SEED, *map(name, range(number))]
        match entry:
            case {"parent": str(parent)} if len(entry) == 1 and parent in before:
                pass
            case {"parent": str(parent), "refused": str(why)} if (
                len(entry) == 2 and parent in before and why.strip()
            ):
                pass
            case _:
                raise LedgerError(
                    f"loop.yaml: {key}: expected {{parent: one of {', '.join(before)}}}, "
                    f"and refused: why, where its rewards were; got {entry}"
                )
    if newest not in entries:
        raise LedgerError(f"loop.yaml: last: expected one of {', '.join(entries)}, got {newest}")
    return got


def _appended(text: str, new: str) -> str:
    """The YAML parser says where things stand; the text is cut there and nowhere else."""
    entries, newest = _iterations(text), _nodes(text)["last"]
    key, value = entries.value[-1]
    end = (value if value.flow_style else value.value[-1][1]).end_mark.index
    end = (text + "\n").index("\n", end)
    line = f"\n{' ' * key.start_mark.column}{new}: {{parent: {newest.value}}}"
    edits = [(end, end, line), (newest.start_mark.index, newest.end_mark.index, new)]
    for start, stop, put in sorted(edits, reverse=True):
        text = text[:start] + put + text[stop:]
    return text.rstrip("\n") + "\n"


def _iterations(text: str) -> Any:
    entries = _nodes(text)["iterations"]
    if entries.flow_style:
        raise LedgerError("loop.yaml: expected one iteration a line, got them all in braces")
    return entries


def _nodes(text: str) -> dict[str, Any]:
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    return {key.value: value for key, value in root.value}
