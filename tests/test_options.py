"""Mistakes in options, the wrong folder, and counts: one line each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import ROOT

from flows import command, grid
from flows.learn import learn
from reelward import cli
from reelward.runtime.clone import require_clone
from reelward.runtime.errors import InputError
from reelward.runtime.words import counted
from reelward.studies.git import StudyError


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "expected a command, got nothing; commands: new, "),
        ("plann", "plann: no such command (did you mean plan?); see: reelward --help"),
        ("new", "expected NAME, got nothing; see: reelward new --help"),
        ("new a b", "b: one word more than expected; quote a text with spaces; see: "),
        ("new a --sed 3", "--sed: no such option (did you mean --seed?); see: reelward new --help"),
        ("new a --form b", "--form: no such option (did you mean --from?); "),
        ("new a --seed=1.5", "--seed: expected a whole number, got 1.5; see: "),
        ("new a --seed x", "--seed: expected a whole number, got x; see: "),
        ("new a --robot", "--robot: expected text, got nothing; see: "),
        ("check", "expected FILE and --robot STR, got nothing; see: reelward check --help"),
        ("check f --robt biped", "--robt: no such option (did you mean --robot?); "),
        ("plan --jsn", "--jsn: no such option (did you mean --json?); see: reelward plan --help"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(
    words: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reelward", *words.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    output = capsys.readouterr()
    assert end.value.code == 2 and output.out == ""
    assert output.err.startswith(f"reelward: {line}") and output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--stdy x", "--stdy: no such option (did you mean --study?); see: python -m flows.learn"),
        ("--iterations 2.5", "--iterations: expected a whole number, got 2.5; "),
        ("--patience no", "--patience: expected a whole number, got no; "),
        ("--hours soon", "--hours: expected a number, got soon; "),
        ("gaits", "gaits: one word more than expected; "),
    ],
)
def test_a_mistake_in_a_flows_options_is_one_line(
    words: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["learn", *words.split()])
    assert command.run("learn", learn) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"reelward learn: {line}") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--robots biped biepd", "robot: expected one of ant, "),
        ("--grid " + "g" * 61, "name: expected up to 60 of a-z"),
        ("--seeds -1", "seed: expected a whole number"),
        ("--iterations 0", "iterations: expected at least 1, got 0"),
        ("--seeds one", "--seeds: expected "),
        ("--seeds 1 1", "two studies would be called grid-seed1"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_prefect_starts(
    words: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["grid", *words.split()])
    with pytest.raises((InputError, StudyError)) as error:
        grid.check(**command.parsed("grid", grid.study))
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


def test_no_option_is_shown_with_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["learn", "--help"])
    with pytest.raises(SystemExit):
        command.run("learn", learn)
    text = capsys.readouterr().out
    assert "--study STR" in text and "{None}" not in text


def test_another_folder_than_a_clone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("robots", "prompts", "docs"):
        (tmp_path / name).mkdir()
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(InputError, match=f"clone of reelward, got {tmp_path}; enter it with cd"):
        require_clone()
    (tmp_path / ".git").touch()  # a worktree's is a file
    require_clone()
    monkeypatch.chdir(tmp_path / "docs")
    with pytest.raises(InputError, match=f"got {tmp_path}/docs; cd {tmp_path}$"):
        require_clone()


def test_a_count_agrees_with_its_noun() -> None:
    assert [counted(n, "term") for n in (0, 1, 2)] == ["0 terms", "1 term", "2 terms"]
    assert counted(1, "training or paid call", "trainings or paid calls").startswith("1 training ")
    assert counted(2, "training or paid call", "trainings or paid calls").startswith("2 trainings ")
