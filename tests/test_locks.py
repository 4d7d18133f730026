"""The file of a lock in a folder that others may write to."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from reelward.runtime import locks
from reelward.runtime.errors import ResourceError

NAME = "GPU 1"


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


KINDS: dict[str, Callable[[Path, Path], object]] = {
    "a symlink": lambda lock, precious: lock.symlink_to(precious),
    "a symlink to nothing": lambda lock, precious: lock.symlink_to(precious.with_name("new")),
    "a second name of a file": lambda lock, precious: os.link(precious, lock),
    "a second name of an empty file": lambda lock, precious: os.link(
        precious.with_name("empty"), lock
    ),
    "a file of others": lambda lock, precious: lock.write_text("text\n"),
    "a folder": lambda lock, precious: lock.mkdir(),
    "a pipe": lambda lock, precious: os.mkfifo(lock),
    "a socket": lambda lock, precious: listen(lock),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_file_of_a_lock_is_written_to(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    locks.device_lock.cache_clear()
    precious, lock = tmp_path / "precious", tmp_path / f"reelward-{quote(NAME, safe='')}.lock"
    precious.write_text("text")
    (tmp_path / "empty").touch()
    KINDS[kind](lock, precious)
    with pytest.raises(ResourceError, match="expected a lock of reelward, got .*; remove it"):
        locks.device_lock(NAME)
    assert precious.read_text() == "text" and (tmp_path / "empty").read_text() == ""
    assert not (tmp_path / "new").exists()
    lock.rmdir() if lock.is_dir() else lock.unlink()
    locks.device_lock(NAME).release()  # it works once that is gone
    assert lock.read_text() == str(os.getpid())
    locks.device_lock.cache_clear()
