"""The doctor names what mends a fault, and only a needed thing fails."""

import pytest

from reelward import doctor
from reelward.doctor import Check


def breaks() -> Check:
    raise OSError("no [bold] thing")


@pytest.mark.parametrize(
    "checks, code, line",
    [
        ([lambda: Check("a", True, "fine", "mend it")], 0, "ok"),
        ([lambda: Check("a", False, "b", "pip install 'x[y]'", needed=False)], 0, "'x[y]'"),
        ([lambda: Check("a", False, "none", "apt install a")], 1, "apt install a"),
        ([breaks], 1, "OSError: no [bold] thing"),
    ],
)
def test_verdict_and_mending(monkeypatch, capsys, checks, code, line):
    monkeypatch.setattr(doctor, "CHECKS", checks)
    monkeypatch.setenv("COLUMNS", "120")
    assert doctor.doctor() == code
    said = capsys.readouterr().out
    assert line in said and ("mend it" in said.splitlines()[1]) is False


def test_a_machine_without_git_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor.git()
    assert not found.ok and found.needed and found.mend == "apt install git"


def test_git_without_identity_is_a_note(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    found = doctor.git()
    assert not found.ok and not found.needed and "user.email" in found.mend
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "ada@example.org")
    assert doctor.git().found == "Ada"
