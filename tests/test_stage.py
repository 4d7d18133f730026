"""The entry point of a stage: its options, its exit codes, and one line for every error."""

import multiprocessing
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import toy_stage
from conftest import ROOT

from reelward.runtime.entry import outputs, parse
from reelward.runtime.errors import InputError
from reelward.runtime.progress import Bar, progress
from reelward.runtime.validation import read_yaml
from reelward.usage import usage
from stages import fetch, train

COMMAND = "--out data/out --seconds 0 --layers 64 32 --no-quick --note None --does".split()


def ends(does: str, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "toy.py", *COMMAND, does, *more]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | env)


# --- options


def test_options_are_read_as_dvc_writes_them() -> None:
    words = "--out d --seconds 1e-05 --does 600000 --layers -1 32 --quick --note None".split()
    args = parse(toy_stage.Args, words)
    assert args == toy_stage.Args(Path("d"), 1e-5, "600000", (-1, 32), True, None)
    assert outputs(args) == [Path("d")]
    assert parse(toy_stage.Args, [*words, "--no-quick"]).quick is False
    assert parse(toy_stage.Args, [*words[:-1], "null"]).note is None  # as params.yaml says it


@pytest.mark.parametrize("stage", [train, fetch])
def test_params_yaml_passes_through_the_command_line(stage) -> None:
    name = stage.__name__.partition(".")[2]
    params = read_yaml(ROOT / "params.yaml")[name]
    words = []
    for key, value in params.items():
        if isinstance(value, bool):
            words.append(f"--{key}" if value else f"--no-{key}")
        else:
            values = value if isinstance(value, list) else [value]
            words += [f"--{key}", *map(str, values)]
    given = {k: "1" for k in stage.Args.__dataclass_fields__ if k not in params}
    given |= {"iteration": "iter-01"} if "iteration" in given else {}
    words += [w for k, v in given.items() for w in (f"--{k.replace('_', '-')}", v)]
    args = vars(parse(stage.Args, words))
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in args.items() if k in params} == (
        params
    )


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--seconds", "1001"), "seconds = 1001: expected a number between 0 and 1000"),
        (("--seconds", "soon"), "seconds = soon: expected a number between 0 and 1000"),
        (("--layers", "4", "x"), 'layers = ["4", "x"]: expected a list, each a whole number'),
        (("--colour", "red"), "unrecognized arguments: --colour red; see --help"),
        (("--out",), "argument --out: expected one argument; see --help"),
    ],
)
def test_a_bad_option_is_one_line(more: tuple[str, ...], line: str) -> None:
    with pytest.raises(InputError, match=re.escape(line)):
        parse(toy_stage.Args, [*COMMAND, "ok", *more])


def test_a_missing_option_is_named() -> None:
    with pytest.raises(InputError, match="required: --does; see --help"):
        parse(toy_stage.Args, COMMAND[:-1])


STAGES = sorted(p.stem for p in (ROOT / "stages").glob("[!_]*.py"))


@pytest.mark.parametrize("stage", STAGES)
def test_help_explains_every_option(stage: str) -> None:
    page = usage(ROOT / f"stages/{stage}.py", f"stages.{stage}")
    args = import_module(f"stages.{stage}").Args
    for name in args.__dataclass_fields__:
        assert re.search(rf"^  --{name.replace('_', '-')}\s+\w", page, re.M), name


def test_help_is_complete_and_loads_no_heavy_library() -> None:
    code = "import runpy, sys; sys.argv = ['-m', '--help']; sys.orig_argv += ['-m', 'stages.train']"
    code += "\ntry: import stages\nexcept SystemExit: print(sorted({'torch', 'mujoco'} & {*sys.modules}))"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *page, loaded = process.stdout.splitlines()
    text = " ".join(" ".join(page).split())
    assert loaded == "[]"
    assert "usage: python -m stages.train" in text and str(train.__doc__).split(".")[0] in text
    assert re.search(r"--clip [^(]*\(a number above 0", text)
    assert re.search(r"--hidden [^(]*\(a whole number above 0", text)


def test_a_stage_loads_no_library_that_it_does_not_need() -> None:
    """torch and the client of a model's server take a second each, in every iteration."""
    code = "import sys, stages.critique, stages.describe, stages.rewards, stages.film\n"
    code += "print(sorted({'torch', 'openai', 'prefect'} & {*sys.modules}))"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "[]\n"


# --- exit codes


@pytest.mark.parametrize(
    ("does", "code", "line"),
    [
        ("VideoError", 3, "expected this"),
        ("full", 5, "data/out: File too large; free some space"),
        ("memory", 5, "out of memory"),
        ("readonly", 5, "data/x: Permission denied"),
        ("fault", 70, "a fault of reelward at toy.py:"),
    ],
)
def test_an_error_is_a_line_with_its_code(toy: Path, does: str, code: int, line: str) -> None:
    process = ends(does)
    assert process.returncode == code
    assert process.stderr.startswith(f"reelward toy: {line}"), process.stderr
    assert "Traceback" not in process.stderr
    assert not Path("data/out").exists() and not list(Path().glob("data/.*"))


def test_every_line_of_an_error_names_the_stage(toy: Path) -> None:
    lines = ends("InputError").stderr.splitlines()
    assert lines == ["reelward toy: expected this,", "reelward toy: got that"]


def test_a_bad_option_ends_with_code_2_before_any_work(toy: Path) -> None:
    process = ends("ok", "--seconds", "soon")
    assert (process.returncode, process.stderr.count("\n")) == (2, 1), process.stderr
    assert process.stderr.startswith("reelward toy: seconds = soon: expected a number")
    assert not Path("data").exists()


@pytest.mark.parametrize(("local", "env"), [("debug: true\n", {}), ("{", {"REELWARD_DEBUG": "1"})])
def test_debug_shows_the_traceback(toy: Path, local: str, env: dict[str, str]) -> None:
    Path("local.yaml").write_text(local)
    process = ends("fault", **env)
    assert process.returncode == 70 and "Traceback" in process.stderr
    assert "REELWARD_DEBUG=1 shows more" in process.stderr


# --- progress


def test_progress_without_a_terminal_is_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first step came after 90 s of start-up, the next two within 10 s."""
    moments = iter([0.0, 90.0, 100.0, 110.0])
    monkeypatch.setattr(Bar, "EVERY", 0.0)
    monkeypatch.setattr("reelward.runtime.progress.time.monotonic", lambda: next(moments, 110.0))
    with progress(4, "training") as bar:
        bar.advance(1, loss=0.25)
        bar.update(3)
        bar.update(4)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training: 25 %  loss 0.25", "training: 75 %, 5 s left"]
    assert not multiprocessing.active_children()
