"""The store of model calls: what was answered once is never asked, nor paid for, again.

A record is a request and its reply, under the digest of the request, written whole. Pictures are in
it by their SHA-256. Where a server is, and what it can do, is not part of a request: the same
question to the same model is the same call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reelward.runtime import files
from reelward.runtime.errors import InputError
from reelward.runtime.validation import shown

Request = dict[str, Any]
Reply = dict[str, Any]


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


class Store:
    """Records in `folder`. With `replay` a request that is not there is an error."""

    def __init__(self, folder: Path, replay: bool) -> None:
        self.folder, self.replay = folder, replay

    def reply(self, request: Request) -> Reply | None:
        """What was answered before; None where nothing was. Raises InputError in replay."""
        path = self.folder / f"{digest(request)}.json"
        if path.is_file() and (record := _sound(path)) is not None:
            return record["reply"]
        if self.replay:
            raise InputError(
                f"mode replay: {self.folder} has no answer to this call; {self._nearest(request)}; "
                "set REELWARD_MODE=live to ask the model"
            )
        return None

    def keep(self, request: Request, reply: Reply) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"request": request, "reply": reply, "sha256": digest([request, reply])}
        files.write_json(self.folder / f"{digest(request)}.json", record)

    def _nearest(self, request: Request) -> str:
        """The first difference from the stored request that has most in common with this one."""
        asked = dict(_leaves(request))
        best: tuple[int, dict[str, str]] = (0, {})
        for path in sorted(self.folder.glob("*.json")):
            if (record := _sound(path)) is not None:
                other = dict(_leaves(record["request"]))
                best = max(best, (len(asked.items() & other.items()), other), key=lambda b: b[0])
        if not best[1]:
            return "it holds none at all"
        where = next(k for k in (*asked, *best[1]) if asked.get(k) != best[1].get(k))
        old, new = (shown(side.get(where, "nothing")) for side in (best[1], asked))
        return f"the first difference is {where}: recorded {old!r}, now {new!r}"


def _sound(path: Path) -> Any:
    """The record, or None when it is damaged: then it counts as never written."""
    try:
        record = files.read_json(path)
        sound = record["sha256"] == digest([record["request"], record["reply"]])
        return record if sound else None
    except (files.FileError, KeyError, TypeError):
        return None


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every value with its place; texts line by line."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{where}[{i}]")
    elif isinstance(value, str):
        for i, line in enumerate(value.splitlines() or [""]):
            yield f"{where} line {i + 1}", line
    else:
        yield where, canonical(value)
