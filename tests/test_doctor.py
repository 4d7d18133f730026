"""The doctor names what helps, and fails only where something needed is missing."""

import pytest

from reelward import doctor
from reelward.doctor import Check
from reelward.runtime import jail


def breaks() -> Check:
    raise OSError("no [bold] thing")


@pytest.mark.parametrize(
    "checks, code, line",
    [
        ([lambda: Check("a", True, "fine", "the remedy")], 0, "ok"),
        ([lambda: Check("a", False, "b", "pip install 'x[y]'", needed=False)], 0, "'x[y]'"),
        ([lambda: Check("a", False, "none", "apt install a")], 1, "apt install a"),
        ([breaks], 1, "OSError: no [bold] thing"),
    ],
)
def test_only_a_needed_thing_fails(monkeypatch, capsys, checks, code, line):
    monkeypatch.setattr(doctor, "CHECKS", checks)
    monkeypatch.setenv("COLUMNS", "120")
    assert doctor.doctor() == code
    output = capsys.readouterr().out
    assert line in output and ("the remedy" in output.splitlines()[1]) is False


def test_a_machine_without_git_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = doctor.git()
    assert not result.ok and result.needed and result.remedy == "apt install git"


def test_git_without_identity_is_a_note(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    result = doctor.git()
    assert not result.ok and not result.needed and "user.email" in result.remedy
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "ada@example.org")
    assert doctor.git().state == "Ada"


def test_a_kernel_that_lacks_a_layer_of_the_jail_is_a_note(monkeypatch):
    layers = dict.fromkeys(jail.LAYERS, True)
    monkeypatch.setattr(jail, "layers", lambda: layers)
    whole = doctor.sandbox()
    assert whole.ok and "without" not in whole.state
    for name in ("landlock", "seccomp"):
        layers[name] = False
    result = doctor.sandbox()
    assert not result.ok and not result.needed and "without landlock, seccomp" in result.state
