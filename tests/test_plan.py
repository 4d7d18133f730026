"""The plan: what would run, what it would cost, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import reelward, settle

from reelward.studies.plan import changes, options, plan, reasons, steps


def test_everything_of_a_new_study_would_run(desk: Path) -> None:
    reelward(desk, "extend", "--to", "4")
    planned = json.loads(reelward(desk, "plan", "--json"))
    trainings = [s for s in planned if s["kind"] == "training"]
    assert [s["stage"] for s in trainings] == [f"train@iter-0{i}" for i in range(4)]
    assert all(s["certain"] and s["why"] == ["never run"] for s in planned)
    assert planned[0]["stage"] == "check"
    settle(desk, {"propose.author": "llm"})
    lines = reelward(desk, "plan").splitlines()
    assert len([line for line in lines if line.startswith("paid call ")]) == 4
    text = (desk / "params.yaml").read_text()
    (desk / "params.yaml").write_text(
        "".join(line for line in text.splitlines(True) if "hidden" not in line)
    )
    assert "Could not find 'train.hidden'" in reelward(desk, "plan", code=2)


def test_a_certain_step_is_told_from_one_that_follows() -> None:
    needs = {
        "check": [],
        "propose@a": ["check"],
        "train@a": ["propose@a"],
        "critique@a": ["train@a"],
        "publish": ["critique@a"],
    }
    settings = {"propose": {"author": "measured"}, "critique": {"critic": "vlm"}}
    changed = {"check": ["train.gamma 0.98 -> 0.9"], "train@a": ["train.gamma 0.98 -> 0.9"]}
    planned = {s.stage: (s.kind, s.certain, s.why) for s in steps(changed, needs, settings)}
    assert planned == {
        "check": ("free", True, ("train.gamma 0.98 -> 0.9",)),
        "train@a": ("training", True, ("train.gamma 0.98 -> 0.9",)),
        "critique@a": ("paid call", False, ("follows train@a",)),
        "publish": ("free", False, ("follows critique@a",)),
    }
    assert steps({}, needs, settings) == []


def test_a_setting_that_only_a_command_shows_is_named(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(mine, {"seed": 2, "train.gamma": 0.5})
    monkeypatch.chdir(mine)
    why = {step.stage: step.why for step in plan()}
    assert why["seed"] == ("seed 1 -> 2",)
    assert why["train@iter-00"] == ("train.gamma 0.98 -> 0.5", "seed 1 -> 2")


def test_options_are_read_from_a_command() -> None:
    assert options("python -m x --seed 1 --task 'walk far' --crop 0 1 --flag --no-other") == {
        "seed": "1", "task": "walk far", "crop": "0 1", "flag": "True", "other": "False",
    }  # fmt: skip
    assert options("python -m x --task 'it's' --seed 1")["seed"] == "1"


def test_reasons_are_in_words() -> None:
    new = {"params.yaml": {"train": "modified"}, "reelward/sim": "modified", "prompts": "deleted"}
    gone = {"changed outs": {"data/x": "deleted"}}
    assert reasons([{"changed deps": new}, gone, "changed command"]) == [
        "reelward/sim changed",
        "prompts is missing",
    ]
    assert reasons([gone]) == ["data/x is missing"]
    old = {"robot": "biped", "train": {"gamma": 0.98, "clip": 0.2, "gone": 1}}
    assert changes(old, {"robot": "biped", "train": {"gamma": 0.9, "clip": 0.2, "new": 2}}) == [
        "train.gamma 0.98 -> 0.9",
        "train.gone 1 -> None",
        "train.new None -> 2",
    ]
