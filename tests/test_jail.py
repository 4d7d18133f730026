"""The jail in which untrusted input is read: what a child there can and cannot do."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest
from jail_attacks import LIES

from reelward.runtime import jail
from reelward.runtime import seccomp as seccomp_filter


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


seccomp = pytest.mark.skipif(not jail.layers()["seccomp"], reason="no seccomp here")


@seccomp
def test_a_system_call_that_is_not_listed_fails():
    errors = jail.jailed("tests.jail_attacks:calls_off_the_list", None)
    assert len(errors) > 150 and set(errors.values()) == {"EPERM", "ENOSYS"}, errors
    # What libc tries before an older call must look absent; libc gives up at EPERM.
    assert errors["clone3"] == "ENOSYS" and errors["kill"] == errors["shmget"] == "EPERM"


@seccomp
def test_no_call_reaches_another_process_or_the_disk_by_its_arguments():
    with subprocess.Popen(["sleep", "60"]) as victim:
        limits = resource.prlimit(victim.pid, resource.RLIMIT_CPU)
        errors = jail.jailed("tests.jail_attacks:calls_with_bad_arguments", victim.pid)
        alive = victim.poll() is None
        unchanged = resource.prlimit(victim.pid, resource.RLIMIT_CPU) == limits
        victim.kill()
    assert alive and unchanged and set(errors.values()) == {"EPERM"}, errors


@seccomp
def test_a_file_that_may_be_read_stays_as_it_is(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.write_text("text")
    errors = jail.jailed("tests.jail_attacks:files_changed", str(precious), read=[tmp_path])
    assert len(errors) == 10 and set(errors.values()) == {"EPERM"}, errors
    assert precious.read_text() == "text" and list(tmp_path.iterdir()) == [precious]


@seccomp
def test_one_layer_alone_still_holds(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.write_text("text")
    payload = {"without": "landlock", "path": str(precious)}
    assert set(jail.jailed("tests.jail_attacks:writes", payload).values()) == {"EPERM"}
    assert precious.read_text() == "text"
    if not (jail.layers()["landlock"] and jail.landlock_version() >= 6):
        return
    with subprocess.Popen(["sleep", "60"]) as victim:
        payload = {"without": "seccomp", "victim": victim.pid}
        errors = jail.jailed("tests.jail_attacks:signals", payload)
        alive = victim.poll() is None
        victim.kill()
    # Bubblewrap's namespace does not even know the process.
    assert alive and set(errors.values()) <= {"EPERM", "ESRCH"}, errors


@pytest.mark.parametrize("kind", LIES)
def test_what_a_hijacked_process_answers_is_one_line(kind: str):
    with pytest.raises(jail.JailError) as e:
        jail.jailed("tests.jail_attacks:lie", kind)
    text = str(e.value)
    assert text.isprintable() and len(text) < 600 and e.value.code in (None, 5), text


def test_no_secret_of_the_environment_is_inside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    inside = jail.jailed("tests.jail_attacks:environment", None)
    assert "canary" not in str(inside) and "PATH" in inside and "HOME" not in inside


def test_no_capability_is_kept_even_by_root():
    assert jail.jailed("tests.jail_attacks:rights", None) == {
        "CapPrm": ["0" * 16], "CapEff": ["0" * 16], "CapInh": ["0" * 16], "Threads": ["1"],
    }  # fmt: skip


@pytest.mark.parametrize("machine, openat", [("x86_64", 257), ("aarch64", 56)])
def test_the_filter_of_each_machine_knows_its_numbers(machine: str, openat: int):
    # openat as in asm/unistd_64.h and asm-generic/unistd.h; a filter has at most 4096 steps.
    steps = seccomp_filter.program(machine)
    numbers = [value for code, _, _, value in steps if code == seccomp_filter.EQUAL]
    assert openat in numbers and 100 < len(steps) <= 4096
