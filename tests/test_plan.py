"""The plan: what would run, what it would cost, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import reelward, settle
from test_shared import PERSON

from reelward.measures.reference import NO_EXPERT
from reelward.motion.record import to_json
from reelward.records import Provenance, VideoSource
from reelward.runtime.files import write_json, write_record
from reelward.studies import plan as planning
from reelward.studies.ledger import extended
from reelward.studies.plan import changes, options, plan, reasons, steps


def test_everything_of_a_new_study_would_run(desk: Path) -> None:
    loop = extended((desk / "loop.yaml").read_text(), 4)
    (desk / "loop.yaml").write_text(loop)
    planned = json.loads(reelward(desk, "plan", "--json"))
    trainings = [s for s in planned if s["kind"] == "training"]
    assert [s["stage"] for s in trainings] == [f"train@iter-0{i}" for i in range(4)]
    assert all(s["certain"] and s["why"] == ["never run"] for s in planned)
    assert planned[0]["stage"] == "check"
    # 3 candidates of 600,000 env-steps from scratch, or of 300,000 from the parent's policy
    first, *later = (s["env_steps"] for s in trainings)
    assert first == [1_800_000, 1_800_000] and later == 3 * [[900_000, 1_800_000]]
    settle(desk, {"propose.author": "llm"})
    lines = reelward(desk, "plan").splitlines()
    assert len([line for line in lines if line.startswith("paid call ")]) == 4
    assert "train@iter-00       never run (1,800,000 env-steps)" in "\n".join(lines)
    assert "; 4,500,000 to 7,200,000 env-steps, except" in lines[-1]
    text = (desk / "params.yaml").read_text()
    (desk / "params.yaml").write_text(
        "".join(line for line in text.splitlines(True) if "hidden" not in line)
    )
    message = reelward(desk, "plan", code=2)
    assert message == (
        "reelward: params.yaml: propose.model is missing: author is llm, name its model\n"
        "params.yaml: train.hidden is missing\n"
    )
    (desk / "params.yaml").write_text("")
    message = reelward(desk, "plan", code=2)
    assert message == "reelward: params.yaml: expected keys and values, got null\n"


def test_a_certain_step_is_told_from_one_that_follows() -> None:
    needs = {
        "check": [],
        "propose@a": ["check"],
        "train@a": ["propose@a"],
        "critique@a": ["train@a"],
        "publish": ["critique@a"],
    }
    settings = {
        "propose": {"author": "measured", "candidates": 2}, "critique": {"critic": "vlm"},
        "train": {"env_steps": 50, "warm_env_steps": 30},
    }  # fmt: skip
    changed = {"check": ["train.gamma 0.98 -> 0.9"], "train@a": ["train.gamma 0.98 -> 0.9"]}
    listed = steps(changed, needs, settings, {"a": "seed"})
    planned = {s.stage: (s.kind, s.certain, s.why) for s in listed}
    assert {s.stage: s.env_steps for s in listed if s.env_steps} == {"train@a": (100, 100)}
    assert planned == {
        "check": ("free", True, ("train.gamma 0.98 -> 0.9",)),
        "train@a": ("training", True, ("train.gamma 0.98 -> 0.9",)),
        "critique@a": ("paid call", False, ("follows train@a",)),
        "publish": ("free", False, ("follows critique@a",)),
    }
    assert steps({}, needs, settings, {}) == []


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


def test_what_body_and_video_do_not_share_is_said_once_the_video_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"robot": "hopper", "fetch": {"sha256": "5" * 64}}
    planning.PARAMS.write_text(json.dumps(settings))
    assert planning.unshared() == ()  # not measured yet

    planning.MOTION.parent.mkdir(parents=True)
    write_json(planning.MOTION, to_json(replace(NO_EXPERT, subject="person", keypoints=PERSON)))
    video = dict.fromkeys(VideoSource.model_fields) | {
        "source": "walk.mp4", "source_sha256": "5" * 64, "sha256": "6" * 64, "section_s": (0, 1),
        "crop_px": (0, 0, 9, 9), "frames": 9, "seconds": 1, "width": 9, "height": 9, "fps": 9,
    }  # fmt: skip
    write_record(planning.PROVENANCE, Provenance(video=VideoSource(**video)))
    assert "the video shows 2 legs, hopper has one leg" in planning.unshared()

    planning.PARAMS.write_text(json.dumps(settings | {"fetch": {"sha256": "7" * 64}}))
    assert planning.unshared() == ()  # what was measured here is another video
    planning.PARAMS.write_text(json.dumps(settings | {"robot": "hoper"}))
    assert planning.unshared() == ()
