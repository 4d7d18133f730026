"""A study without a video: a Gymnasium environment, the measure fitness, a reward that stays as it is."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from conftest import ROOT, dvc, ran, reelward, settle
from motions import brief
from stages_here import run_stages

from reelward import measures
from reelward.authors import fixed
from reelward.policy import About, Policy
from reelward.records import Candidates, Feedback, Proposal
from reelward.rollout import artefacts, run
from reelward.runtime.errors import InputError
from reelward.runtime.files import read_record
from reelward.sim.robot import load_robot
from stages.__main__ import measure_complaints, robot_complaints, video_complaints

STAGES = {
    "check", "fetch", "pose", "keyframes", "describe", "seed", "film_seed", "propose@iter-00",
    "rewards@iter-00", "train@iter-00", "rollout@iter-00", "film@iter-00", "critique@iter-00",
    "select@iter-00", "publish", "report",
}  # fmt: skip


def test_cartpole_without_a_video(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = reelward(desk, "new", "pole", "--preset", "cartpole")
    assert begun.endswith("next: dvc repro or python -m flows.learn --iterations 3\n")
    settle(desk, {
        "propose.candidates": 2, "train.env_steps": 16384, "train.hidden": 16,
        "rollout.episodes": 2, "film.seconds": 0.2,
    })  # fmt: skip
    monkeypatch.chdir(desk)
    assert set(run_stages()) == STAGES
    dvc(desk, "commit", "--force", "--quiet")  # it misses no file that a stage reads or writes
    assert ran(dvc(desk, "repro")) == []
    at = desk / "data/iterations/iter-00"
    proposal = read_record(at / "proposal.json", Proposal)
    seed = (desk / "rewards/seed/selected.py").read_text()
    assert "s.task_reward" in seed and {c.source for c in proposal.candidates} == {seed}
    trained = read_record(at / "policies/index.json", Candidates).sound
    assert [c.terms for c in trained] == [("task",), ("task",)]
    curves = [(at / f"policies/{c.name}.csv").read_text() for c in trained]
    assert curves[0] != curves[1], "each candidate is another training of the same reward"

    # CartPole pays 1 a step, so the fitness is the share of the episode that the pole stood.
    feedback = read_record(desk / "rewards/iter-00/feedback.json", Feedback)
    assert feedback.critique is not None
    stood = feedback.critique.figure("task_reward")
    assert stood == feedback.critique.closeness == feedback.critique.survival
    assert feedback.selected.startswith("iter-00/"), "it stands longer than the untrained policy"
    (row,) = csv.DictReader((desk / "rewards/history.csv").read_text().splitlines())
    assert float(row["task_reward"]) == stood
    assert json.loads((desk / "metrics.json").read_text())["closeness"] == stood
    for name in ("data/best/policy.pt", "data/best/video.mp4", "report/index.html"):
        assert (desk / name).stat().st_size > 0


def test_a_robot_without_pictures_has_every_file_that_a_stage_needs() -> None:
    robot = load_robot("cartpole").model_copy(update={"picture": None})
    policy = Policy(About(robot.observation_space, robot.action_space, 8, "tanh"))
    measure = measures.load("fitness", "task_reward", 1.0)
    episodes = run(robot, policy, None, episodes=1, seconds=0.2, seed=0, fields=measure.fields)
    best = {"policy.pt", *artefacts(robot, episodes, measure)}
    assert "sheet.jpg" not in best
    pipeline = (ROOT / "dvc.yaml").read_text()
    assert set(re.findall(r'/best/([\w.]+)"', pipeline)) <= best


def test_what_needs_a_video_is_refused_at_the_door() -> None:
    params = {
        "fetch": {"source": None}, "measure": {"kind": "gait"}, "propose": {"author": "measured"},
        "critique": {"critic": "vlm"},
    }  # fmt: skip
    assert video_complaints(params) == [
        "measure.kind = gait: fetch.source is null, and this needs a video; expected fitness",
        "propose.author = measured: fetch.source is null, and this needs a video; "
        "expected llm or fixed",
        "critique.critic = vlm: fetch.source is null, and this needs a video; "
        "expected measured or person",
    ]
    params |= {"measure": {"kind": "fitness"}, "propose": {"author": "fixed"}, "critique": {}}
    assert video_complaints(params) == []
    assert video_complaints({"fetch": {"source": "walk.mp4"}}) == []


def test_what_a_robot_cannot_have_is_refused_at_the_door() -> None:
    params = {"propose": {"author": "measured"}, "train": {"symmetric": True}}
    assert robot_complaints(params, load_robot("biped")) == []
    assert robot_complaints(params, load_robot("cartpole")) == [
        "train.symmetric = true: expected false, cartpole is no planar robot with mirrored legs",
        "propose.author = measured: cartpole has no MJCF, whose legs it aims; expected llm or fixed",
    ]


def test_a_measure_that_does_not_fit_is_refused_at_the_door() -> None:
    pole, biped = load_robot("cartpole"), load_robot("biped")
    gait = {"kind": "gait", "field": None, "goal": None, "worst": 0.0}
    assert measure_complaints(gait, biped) == []
    assert measure_complaints(gait, pole) == [
        "kind = gait: cartpole has no feet to measure a gait by; expected fitness"
    ]
    wrong = {"kind": "fitness", "field": "root_ve[0]", "goal": 1.0, "worst": 0.0}
    assert measure_complaints(wrong, biped) == [
        "field: biped has no root_ve; did you mean root_vel?"
    ]
    lines = measure_complaints(wrong | {"field": "x; touch f"}, biped)
    assert lines == [
        "field = x; touch f: expected a field or a column of one, such as root_vel[0] or null"
    ]
    assert measure_complaints({}, pole) == [
        "kind is missing",
        "field is missing",
        "goal is missing",
        "worst is missing",
    ]


@pytest.mark.parametrize(
    "field, complaint",
    [
        ("root_vel[3]", "root_vel of biped has columns 0 to 2, got root_vel[3]"),
        ("root_vel", "root_vel of biped has columns 0 to 2, got root_vel"),
        ("power[0]", "power of biped has one value, got power[0]"),
        ("body_pos[1]", "body_pos of biped has values [7, 3], of which none is a column, got body_pos[1]"),
        ("root_vel[2]", None),
        ("power", None),
    ],
)  # fmt: skip
def test_a_column_that_the_field_lacks_is_refused_at_the_door(
    field: str, complaint: str | None
) -> None:
    lines = measure_complaints(
        {"kind": "fitness", "field": field, "goal": 1.0, "worst": 0.0}, load_robot("biped")
    )
    assert lines == ([f"field: {complaint}"] if complaint else [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_this_machine_lacks_is_refused_at_the_door() -> None:
    (line,) = robot_complaints({"train": {"device": "cuda"}}, load_robot("biped"))
    assert line.startswith("train.device = cuda: this machine has no CUDA GPU; expected cpu")


def test_a_fixed_reward_that_does_not_fit_the_robot_is_refused() -> None:
    with pytest.raises(InputError, match=r"does not fit biped: line 2: .*nothing.*rewards/seed"):
        fixed.propose(brief(parent='def reward(s):\n    return {"x": s.nothing}\n'))
    reward = 'def reward(s):\n    return {"x": s.root_vel[:, 0]}\n'
    assert [c.source for c in fixed.propose(brief(parent=reward)).candidates] == [reward] * 3
