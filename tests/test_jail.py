"""The jail in which untrusted input is read: what a child there can and cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelward.runtime import jail


def test_the_jail_holds():
    active = jail.layers()
    assert active["rlimits"] and active["privileges"]
    assert jail.jailed("json:dumps", [1, 2]) == "[1, 2]"
    with pytest.raises(jail.JailError, match="ZeroDivisionError|TypeError"):
        jail.jailed("math:sqrt", "x")
    with pytest.raises(jail.JailError, match="died of SIGSEGV"):
        jail.jailed("ctypes:string_at", 0)
    with pytest.raises(jail.JailError, match="no answer of at most"):
        jail.jailed("json:dumps", [0] * 600_000)
    with pytest.raises(jail.JailError, match="longer than"):
        jail.jailed("time:sleep", 30, timeout=0.3)
    with pytest.raises(jail.JailError, match="memory|MemoryError"):
        jail.jailed("builtins:bytearray", 10**10, memory=1 << 28)
    with pytest.raises(jail.JailError, match="no answer|File too large|PermissionError|signal|SIG"):
        jail.jailed("pathlib:Path.home", None)
    if active["landlock"]:
        with pytest.raises(jail.JailError, match="PermissionError"):
            jail.jailed("os:listdir", "/etc")
        assert isinstance(jail.jailed("os:listdir", "/etc", read=[Path("/etc")]), list)
    if active["seccomp"]:
        with pytest.raises(jail.JailError, match="PermissionError"):
            jail.jailed("socket:socket", 2)
        with pytest.raises(
            jail.JailError, match="PermissionError|BlockingIOError|Operation not permitted"
        ):
            jail.jailed("subprocess:check_output", ["true"])


@pytest.mark.skipif(not jail.layers()["seccomp"], reason="no seccomp here")
def test_the_jail_refuses_what_landlock_leaves(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.write_text("text")
    tried = jail.jailed("tests.jail_attacks:tried", str(precious), read=[tmp_path])
    assert len(tried) >= 5 and set(tried.values()) == {"EPERM"}, tried
    assert precious.read_text() == "text"
