"""A wrong value is one line, whether it is in params.yaml, in local.yaml or in the environment."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from conftest import ROOT
from pydantic import Field

from reelward.runtime.entry import Out
from reelward.runtime.errors import InputError
from reelward.runtime.settings import SETTINGS, setting
from reelward.runtime.validation import read_yaml, validate


@dataclass(frozen=True)
class Args:
    out: Out
    env_steps: Annotated[int, Field(gt=0)]
    gamma: Annotated[float, Field(ge=0, le=1)]
    hidden: tuple[int, ...]
    symmetric: bool
    crop: tuple[float, float] | None
    critic: Literal["measured", "vlm"]
    name: str


GOOD = {
    "env_steps": 600000, "gamma": 1, "hidden": [64, 64], "symmetric": True, "crop": None,
    "critic": "vlm", "name": "600000",
}  # fmt: skip


def test_valid_values_raise_no_complaint() -> None:
    assert validate(Args, GOOD) == []
    assert validate(Args, GOOD | {"crop": [0, 1.5]}) == []


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("env_stepz", 600000, "600000: unknown key; did you mean env_steps?"),
        ("gamma", 1.5, "1.5: expected a number between 0 and 1"),
        ("gamma", float("nan"), "NaN: expected a number between 0 and 1"),
        ("gamma", "0.9", "0.9: expected a number between 0 and 1"),
        ("env_steps", 0, "0: expected a whole number above 0"),
        ("env_steps", True, "true: expected a whole number above 0"),
        ("env_steps", 1.5, "1.5: expected a whole number above 0"),
        ("hidden", 64, "64: expected a list, each a whole number"),
        ("hidden", ["a"], '["a"]: expected a list, each a whole number'),
        ("symmetric", "yes", "yes: expected true or false"),
        ("crop", [1], "[1]: expected a list of 2, each a number, or null"),
        ("critic", "clip", "clip: expected one of measured, vlm"),
        ("name", 3, "3: expected text"),
    ],
)
def test_a_wrong_value_is_one_line(key: str, value: object, line: str) -> None:
    lines = validate(Args, {**GOOD, key: value}, "params.yaml: train.")
    assert [re.sub(r",$", "", s) for s in lines] == [f"params.yaml: train.{key} = {line}"]


def test_an_unknown_key_far_from_all_names_them_all() -> None:
    (line,) = validate(Args, {"zzz": 1})
    assert line.endswith("known keys: " + ", ".join(Args.__dataclass_fields__))


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)
"""A thousand million values in 800 characters."""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\na: 2\n", 'line 2: no YAML: found duplicate key "a"'),
        ("a: {\n", "no YAML"),
        ("a:\t- 1\n", "line 1: no YAML"),
        ("", "expected keys and values, got null"),
        ("- a\n", "expected keys and values"),
        ("x: !!python/object:os.system {}\n", "line 1: no YAML"),
        ("x: !!python/object/apply:os.system ['touch ran']\n", "line 1: no YAML"),
        ("x: !!python/name:os.system\n", "line 1: no YAML"),
        ("a: " + "[" * 1000, "recursion"),
        ("a: " + "[" * 60 + "]" * 60, "at most 50 levels"),
        ("a: &a [*a]\n", "at most 50 levels"),
        ("&a [*a]\n", "at most 50 levels"),
        ("a: &a {b: *a}\n", "at most 50 levels"),
        (BOMB, "200000 values, aliases counted"),
        ("# " + "x" * 200_000, "expected at most 200000 characters"),
        ("a: *b\n", "undefined alias"),
        ("1: 2\n", "expected text for a key, got 1"),
        ("~: 2\n", "expected text for a key, got None"),
        ("[1, 2]: 3\n", "expected text for a key, got (1, 2)"),
        ("a: {[1]: 3}\n", "expected text for a key"),
        ("a: !!binary eA==\n", "got bytes"),
        ("a: !!set {x}\n", "got set"),
        ("a: !!int x\n", "no YAML: invalid literal"),
        ("a: !!bool x\n", "no YAML"),
        (f"a: {'9' * 5000}\n", "no YAML: Exceeds the limit"),
        ('a: "\\ud800"\n', "half a character"),
        ("a: \0\n", "unacceptable character"),
        ("a: 1\n---\nb: 2\n", "another document"),
    ],
)
def test_bad_yaml_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(line)) as e:
        read_yaml(path)
    assert str(path) in str(e.value) and str(e.value).isprintable() and len(str(e.value)) < 500


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 3e-4\r\nb: on\r\n")
    assert read_yaml(path) == {"a": 3e-4, "b": "on"}


# --- settings


def test_a_setting_comes_from_the_environment_then_local_yaml_then_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert setting("call_seconds", 2.0) == 2.0
    Path("local.yaml").write_text("call_seconds: 3\n")
    assert setting("call_seconds", 2.0) == 3.0
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "4")
    assert setting("call_seconds", 2.0) == 4.0
    assert setting("call_seconds") == "4"
    for wrong in ("long", "nan", "inf", "-1", ""):
        monkeypatch.setenv("REELWARD_CALL_SECONDS", wrong)
        with pytest.raises(InputError, match="REELWARD_CALL_SECONDS.*expected a number at least 0"):
            setting("call_seconds", 2.0)
    monkeypatch.setenv("REELWARD_CALLS", "-1")
    with pytest.raises(InputError, match="expected a whole number at least 0"):
        setting("calls", 4)
    monkeypatch.setenv("REELWARD_PULL", "false")
    assert setting("pull", True) is False


def test_a_misspelt_budget_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("local.yaml").write_text("budjet_money: 1\n")
    with pytest.raises(InputError, match="budjet_money: unknown key; did you mean budget_m"):
        setting("mode", "live")


def test_every_setting_that_is_asked_for_is_known_and_documented() -> None:
    asked: set[str] = set()
    for top in ("reelward", "flows", "stages"):
        for path in (ROOT / top).rglob("*.py"):
            asked |= set(re.findall(r"\bsetting\(\s*\"(\w+)\"", path.read_text()))
    assert {"renderer", "pull", "debug", "mode"} <= asked <= set(SETTINGS)
    pages = (ROOT / "docs/settings.md").read_text() + (ROOT / "docs/models.md").read_text()
    assert [name for name in SETTINGS if not re.search(rf"`{name}\b", pages)] == []


# --- the stage that checks params.yaml


@pytest.fixture(scope="module")
def params() -> dict:
    return read_yaml(ROOT / "params.yaml")


def complaints(params: dict) -> list[str]:
    from stages.__main__ import complaints

    pipeline = read_yaml(ROOT / "dvc.yaml")["stages"]
    return complaints(params, {n: s.get("do", s)["cmd"] for n, s in pipeline.items()}, "params: ")


def test_our_params_pass(params: dict) -> None:
    assert complaints(params) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"train": {"env_stepz": 1}}, "params: train.env_stepz = 1: unknown key; did you mean"),
        ({"train": {"gamma": 1.5}}, "params: train.gamma = 1.5: expected a number between 0 and 1"),
        ({"fetch": {"sha256": "abc"}}, "params: fetch.sha256 = abc: expected 64 digits of"),
        (
            {"seed": -1},
            "params: seed = -1: expected a whole number at least 0 and below 4294967296",
        ),
        (
            {"seed": 2**32},
            "params: seed = 4294967296: expected a whole number at least 0 and below 4294967296",
        ),
        ({"sed": 1}, "params: sed = 1: unknown key; did you mean seed?"),
        ({"robot": "wolker2d"}, "params: robot: "),
        ({"task": "it's"}, "params: task = it's: expected a sentence without apostrophes"),
        ({"task": ""}, "params: task = : expected a sentence without apostrophes"),
        ({"critique": {"critic": "vlm"}}, "params: critique.model is missing: critic is vlm"),
        ({"trian": {}}, "params: trian: no stage of this name; did you mean train?"),
    ],
)
def test_each_mistake_in_params_is_one_line(params: dict, changes: dict, line: str) -> None:
    wrong = dict(params)
    for key, value in changes.items():
        wrong[key] = {**params.get(key, {}), **value} if isinstance(value, dict) else value
    (complaint,) = complaints(wrong)
    assert complaint.startswith(line)


def test_missing_keys_are_named(params: dict) -> None:
    wrong = {k: v for k, v in params.items() if k != "seed"}
    wrong["train"] = {k: v for k, v in params["train"].items() if k != "gamma"}
    assert complaints(wrong) == ["params: seed is missing", "params: train.gamma is missing"]


def test_the_check_writes_the_same_bytes_or_nothing(tmp_path: Path) -> None:
    def check(params: Path) -> subprocess.CompletedProcess[str]:
        words = ["-m", "stages", "--params", str(params), "--out", str(tmp_path / "ok")]
        return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)

    assert check(ROOT / "params.yaml").returncode == 0
    assert (tmp_path / "ok").read_text() == "ok\n"
    (tmp_path / "ok").unlink()
    text = (ROOT / "params.yaml").read_text().replace("env_steps: ", "env_stepz: ", 1)
    (tmp_path / "params.yaml").write_text(text)
    process = check(tmp_path / "params.yaml")
    assert process.returncode == 2 and not (tmp_path / "ok").exists()
    lines = process.stderr.splitlines()
    assert len(lines) == 2 and all(s.startswith("reelward check: ") for s in lines)
    assert "train.env_stepz" in lines[0] and "train.env_steps is missing" in lines[1]
