"""The store of model calls: a request that was answered is never sent, nor paid for, again.

A record is a request and its reply, in a file named by the digest of the request and written whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import JsonValue, ValidationError

from reelward.records import Exchange, Reply, Request
from reelward.runtime import files
from reelward.runtime.errors import InputError, ResourceError
from reelward.runtime.validation import shortened
from reelward.runtime.words import lines

PROBE = 1 << 20
"""bytes that must fit on the disk before a call"""


class StoredExchange(Exchange):
    sha256: str
    """of request and reply"""
    dropped: bool = False
    """The reply could not be used: it is replayed, but asked for anew where a server is asked."""


def digest(*records: Request | Reply) -> str:
    """SHA-256 of records as canonical JSON."""
    values = [record.model_dump(mode="json") for record in records]
    return hashlib.sha256(_canonical(values).encode()).hexdigest()


class Store:
    """Exchanges in `folder`. With `replay` a request without a stored reply is an error."""

    def __init__(self, folder: Path, replay: bool) -> None:
        self.folder, self.replay = folder, replay

    def reply(self, request: Request) -> Reply | None:
        """The stored reply, or None. Raises InputError in replay."""
        stored = _read(self.folder / f"{digest(request)}.json")
        if stored is not None and (self.replay or not stored.dropped):
            return stored.reply
        if self.replay:
            raise InputError(
                f"mode replay: {self.folder} has no answer to this call; {self._nearest(request)}; "
                "set REELWARD_MODE=live to ask the model"
            )
        return None

    def require_writable(self) -> None:
        """Write and remove a file, before an answer is paid for that could not be kept. Raises
        ResourceError."""
        try:
            with files.new_file(self.folder / "probe.json") as new:
                new.write_bytes(bytes(PROBE))
            (self.folder / "probe.json").unlink()
        except OSError as e:
            raise ResourceError(
                f"calls = {shortened(self.folder)} (REELWARD_CALLS or local.yaml): expected a folder "
                f"for the answers that are paid for, got: {e.strerror}; nothing was asked"
            ) from None

    def keep(self, request: Request, reply: Reply) -> None:
        self._write(StoredExchange(request=request, reply=reply, sha256=digest(request, reply)))

    def drop(self, requests: Iterable[Request]) -> None:
        """Note that the replies to `requests` could not be used."""
        for request in requests if not self.replay else ():
            stored = _read(self.folder / f"{digest(request)}.json")
            if stored is not None and not stored.dropped:
                self._write(stored.model_copy(update={"dropped": True}))

    def _write(self, stored: StoredExchange) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{digest(stored.request)}.json"
        files.write_json(path, stored.model_dump(mode="json"))

    def _nearest(self, request: Request) -> str:
        """The first difference from the stored request that has most in common with this one."""
        wanted = dict(_leaves(request.model_dump(mode="json")))
        most, nearest = 0, dict[str, str]()
        for path in sorted(self.folder.glob("*.json")):
            if (stored := _read(path)) is not None:
                other = dict(_leaves(stored.request.model_dump(mode="json")))
                if (common := len(wanted.items() & other.items())) > most:
                    most, nearest = common, other
        if not nearest:
            return "it is empty"
        where = next(key for key in (*wanted, *nearest) if wanted.get(key) != nearest.get(key))
        old, new = (shortened(leaves.get(where, "nothing")) for leaves in (nearest, wanted))
        return f"the first difference is {where}: recorded {old!r}, now {new!r}"


def _read(path: Path) -> StoredExchange | None:
    """A stored exchange; None if the file is missing or damaged, so that it is asked again."""
    try:
        stored = StoredExchange.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return stored if stored.sha256 == digest(stored.request, stored.reply) else None


def _leaves(value: JsonValue, where: str = "") -> Iterator[tuple[str, str]]:
    """Every value with its place; texts line by line."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{where}[{i}]")
    elif isinstance(value, str):
        for i, line in enumerate(lines(value)):
            yield f"{where} line {i + 1}", line
    else:
        yield where, _canonical(value)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
