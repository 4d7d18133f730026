"""The ledger loop.yaml: which iterations exist, from which parent's best each continues, and which a
person refused before training.

The functions take the text of a ledger. Those that change it return a new text, with comments kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from ruamel.yaml import YAMLError
from ruamel.yaml.comments import CommentedMap

from reelward.runtime.validation import is_plain
from reelward.runtime.words import counted
from reelward.studies.yaml_text import edited, loaded

SEED = "seed"
"""the parent of the first iteration"""

FIRST = """\
# The ledger: which iterations exist, and from whose best each goes on. `reelward extend` appends.
iterations:
  iter-00: {parent: seed}
last: iter-00
"""


class LedgerError(ValueError):
    """A ledger that is not valid."""


@dataclass(frozen=True)
class Iteration:
    parent: str
    refused: str | None
    """why a person refused its rewards"""


@dataclass(frozen=True)
class Ledger:
    iterations: dict[str, Iteration]
    last: str
    """the iteration that is published"""


def name(number: int) -> str:
    """Name of an iteration, counted from 0. The dash keeps it from being imported by accident."""
    return f"iter-{number:02d}"


def read(text: str) -> Ledger:
    """Raises LedgerError."""
    try:
        content = loaded(text)
    except YAMLError as e:
        raise LedgerError(f"loop.yaml is no YAML: {' '.join(str(e).split())}") from None
    match content:
        case {"iterations": dict(entries), "last": str(last)} if len(content) == 2 and entries:
            pass
        case _:
            raise LedgerError("loop.yaml: expected `iterations` with at least one, and `last`")
    iterations: dict[str, Iteration] = {}
    for number, (key, entry) in enumerate(entries.items()):
        if key != name(number):
            raise LedgerError(f"loop.yaml: expected {name(number)} in this place, got {key}")
        earlier = [SEED, *iterations]
        match entry:
            case {"parent": str(parent)} if len(entry) == 1 and parent in earlier:
                iterations[key] = Iteration(parent, None)
            case {"parent": str(parent), "refused": str(why)} if (
                len(entry) == 2 and parent in earlier and why.strip()
            ):
                iterations[key] = Iteration(parent, why)
            case _:
                raise LedgerError(
                    f"loop.yaml: {key}: expected {{parent: one of {', '.join(earlier)}}}, and "
                    f"refused: why, where a person refused its rewards; got {entry}"
                )
    if last not in iterations:
        raise LedgerError(f"loop.yaml: last: expected one of {', '.join(iterations)}, got {last}")
    return Ledger(iterations, last)


def parents(text: str) -> dict[str, str]:
    """Each iteration's parent, in order. Raises LedgerError."""
    return {key: entry.parent for key, entry in read(text).iterations.items()}


def last(text: str) -> str:
    """The iteration that is published. Raises LedgerError."""
    return read(text).last


def refused(text: str) -> dict[str, str]:
    """The iterations whose rewards a person refused, with the reason. Raises LedgerError."""
    entries = read(text).iterations.items()
    return {key: entry.refused for key, entry in entries if entry.refused is not None}


def extended(text: str, to: int) -> str:
    """`text` with iterations appended until there are `to`, each a child of the one before.
    Raises LedgerError where there are more already."""
    count = len(parents(text))
    if to < count:
        raise LedgerError(
            f"expected at least the {counted(count, 'iteration')} that loop.yaml has, got {to}"
        )

    def append(root: CommentedMap) -> None:
        for number in range(count, to):
            entry = CommentedMap(parent=root["last"])
            entry.fa.set_flow_style()
            root["iterations"][name(number)] = entry
            root["last"] = name(number)

    return edited(text, append) if to > count else text


def refusal(text: str, key: str, why: str) -> str:
    """`text` with the rewards of iteration `key` refused, for a reason. Raises LedgerError."""
    reason = " ".join("".join(c if is_plain(c) else " " for c in why).split())
    if key in refused(text) or not reason:
        raise LedgerError(f"{key}: expected one reason for refusing its rewards")
    return edited(text, lambda root: root["iterations"][key].update(refused=reason))
