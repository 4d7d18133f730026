"""Durable files: every artefact appears whole or not at all, and carries its digest.

A file or folder is written under a temporary name beside its target, flushed to the disk and
renamed. The temporary name holds the writer's PID and start time, so that the next writer can remove
what a killed one left behind. Errors of the disk itself are raised as OSError.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from reelward.runtime.words import one_line

SUMS = "SHA256SUMS"
R = TypeVar("R", bound=BaseModel)


class FileError(Exception):
    """A file that is missing, damaged or not of the expected form."""

    code = 2


def digest(path: Path) -> str:
    """SHA-256 (hex) of a file, or of a folder: of its sorted relative names and their digests,
    without bytecode."""
    if not path.is_dir():
        with open(path, "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    names = sorted(p.relative_to(path).as_posix() for p in _below(path))
    lines = (f"{digest(path / name)}  {name}\n" for name in names if "__pycache__" not in name)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to. It becomes `path` when the body ends without an error."""
    with _whole(Path(path)) as new:
        yield new
        _flush(new)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder. With SHA256SUMS added, it becomes `path` when the body ends without an
    error."""
    with _whole(Path(path)) as new:
        new.mkdir()
        yield new
        names = sorted(p.relative_to(new).as_posix() for p in _below(new))
        (new / SUMS).write_text("".join(f"{digest(new / n)}  {n}\n" for n in names if n != SUMS))
        for p in (*new.rglob("*"), new):
            _flush(p)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that no other user can read. It is removed at the end; what a
    killed process left is removed when `path` is written next."""
    new = _temporary(Path(path))
    new.mkdir(mode=0o700)
    try:
        yield new.resolve()
    finally:
        _remove(new)


def verified(path: Path) -> Path:
    """Return `path`, a file in a folder that `new_folder` wrote, after checking its digest.
    Raises FileError where the file is missing or damaged, or has no digest."""
    folder = next((p for p in path.parents if (p / SUMS).is_file()), None)
    if folder is None:
        raise FileError(f"{path}: expected a {SUMS} beside it, got none; make it again: dvc repro")
    name = path.relative_to(folder).as_posix()
    sums = (folder / SUMS).read_text(errors="replace").splitlines()
    if not path.is_file() or f"{digest(path)}  {name}" not in sums:
        state = "damaged" if path.is_file() else "missing"
        raise FileError(f"{path} is {state}; remove {folder} and make it again: dvc repro")
    return path


def write_text(path: Path, text: str) -> None:
    with new_file(path) as new:
        new.write_text(text, encoding="utf-8")


def json_text(obj: Any) -> str:
    """How JSON is written here."""
    return json.dumps(obj, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, obj: Any) -> None:
    write_text(path, json_text(obj))


def read_json(path: Path) -> Any:
    """Raises FileError where `path` is missing or is not JSON, or holds a number that is not finite."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise FileError(f"{path} is missing; make it: dvc repro, or bring it: dvc pull") from None
    except (ValueError, RecursionError) as e:
        raise FileError(f"{path}: expected JSON: {one_line(e)}") from None


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"expected a finite number, got {text[:20]}")
    return number


def write_record(path: Path, record: BaseModel) -> None:
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record from a JSON file. Raises FileError where it is missing or of another form."""
    try:
        return kind.model_validate(read_json(path), strict=False)
    except ValidationError as e:
        first = e.errors()[0]
        where = one_line(".".join(map(str, first["loc"])))
        raise FileError(
            f"{path}: expected {kind.__name__} of this version: {where}: {first['msg']}; "
            "make it again: dvc repro"
        ) from None


def save_tensors(path: Path, obj: Any) -> None:
    """Write tensors so that the bytes depend on the values alone. Written to a path, torch.save
    includes the file's name; and pickle writes shared memory and equal strings in its own way."""
    import torch

    def plain(x: Any) -> Any:
        if isinstance(x, dict):
            return {plain(k): plain(v) for k, v in x.items()}
        if isinstance(x, list | tuple):
            return type(x)(map(plain, x))
        if isinstance(x, torch.Tensor):
            return x.detach().cpu().clone()
        return sys.intern(str(x)) if isinstance(x, str) else x

    buffer = io.BytesIO()
    torch.save(plain(obj), buffer)
    with new_file(path) as new:
        new.write_bytes(buffer.getbuffer())


def load_tensors(path: Path) -> Any:
    """Read what `save_tensors` wrote, onto the CPU; never a pickled class. Raises FileError."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(f"{path} is missing; make it: dvc repro, or bring it: dvc pull") from None
    except Exception as e:
        line = (str(e) or type(e).__name__).splitlines()[0]
        raise FileError(f"{path}: expected tensors: {one_line(line)}") from None


def started(pid: int) -> str:
    """Start time of a living process, in clock ticks since boot; empty where it is gone. A zombie is
    gone too: in a container it may never be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    new = _temporary(path)
    try:
        yield new
        _replace(new, path)
    except OSError as e:
        e.filename = e.filename or str(path)
        raise
    finally:
        _remove(new)


def _temporary(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    begin = f".{path.stem}.tmp-"
    for old in path.parent.iterdir():
        owner = old.name.removeprefix(begin).removesuffix(path.suffix).split("-")
        if old.name.startswith(begin) and len(owner) == 3 and owner[0].isdigit():
            if started(int(owner[0])) != owner[1]:
                _remove(old)
    nonce = os.urandom(4).hex()
    return path.with_name(f"{begin}{os.getpid()}-{started(os.getpid())}-{nonce}{path.suffix}")


def _below(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _replace(new: Path, path: Path) -> None:
    """Rename. A folder cannot be renamed over a full one, so the old one is moved aside first."""
    aside = _temporary(path)
    if (new.is_dir() or path.is_dir()) and os.path.lexists(path):
        os.rename(path, aside)
    os.replace(new, path)
    _flush(path.parent)
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
