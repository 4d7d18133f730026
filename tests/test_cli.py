"""The command: studies, the ledger, the plan, and rewards by hand."""

from __future__ import annotations

import json
import resource
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, dvc, reelward, run, settle

from reelward.language import compile_reward
from reelward.sim.robot import load_robot
from reelward.studies.plan import changes, options, reasons, steps
from reelward.studies.study import StudyError, hold
from stages.__main__ import complaints

ROBOTS = sorted(p.name for p in (ROOT / "robots").iterdir())
WITH_ROOT = [r for r in ROBOTS if r != "cartpole"]
"""robots that have a trunk, whose speed and posture the seed reward reads"""


def params(folder: Path) -> dict:
    return yaml.safe_load((folder / "params.yaml").read_text())


def test_help_comes_at_once(desk: Path) -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        assert "extend" in reelward(desk, "--help")
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    assert min(seconds() for _ in range(3)) < 0.3


def test_a_study_begins_on_its_branch_without_results(desk: Path) -> None:
    (desk / "LICENSE").write_text("edited, and not the study's business")
    said = reelward(desk, "new", "walk", "--robot", "hopper", "--task", "hop: # up, 'and' down")
    assert "study/walk" in said
    assert run(desk, "git", "branch", "--show-current") == "study/walk\n"
    assert params(desk)["robot"] == "hopper"
    assert params(desk)["task"] == "hop: # up, \u2019and\u2019 down"
    assert complaints(params(desk), {}, "") == []
    assert params(desk)["fetch"] == params(ROOT)["fetch"]
    before = (ROOT / "params.yaml").read_text().splitlines()
    after = (desk / "params.yaml").read_text().splitlines()
    assert [a.partition("#")[2] for a in after if "task:" not in a] == [
        b.partition("#")[2] for b in before if "task:" not in b
    ]
    assert run(desk, "git", "log", "-1", "--format=%s") == "Begin study walk\n"
    assert run(desk, "git", "status", "--porcelain") == " M LICENSE\n"


def test_a_video_of_ones_own_is_pinned_and_whole(desk: Path, tmp_path: Path) -> None:
    film = tmp_path / "my film.mp4"
    film.write_bytes(b"not looked into here")
    reelward(desk, "new", "mine", "--video", str(film))
    fetch = params(desk)["fetch"]
    assert fetch["source"] == str(film)
    assert fetch["sha256"] == sha256(b"not looked into here").hexdigest()
    assert (fetch["start"], fetch["end"], fetch["crop"]) == (0.0, None, None)
    assert fetch["max_mb"] == params(ROOT)["fetch"]["max_mb"]
    (desk / "scratch").mkdir(exist_ok=True)
    (desk / "scratch/here.mp4").write_bytes(b"a worktree of this clone has it not")
    reelward(desk, "new", "here", "--video", "scratch/here.mp4")
    assert params(desk)["fetch"]["source"] == str(desk / "scratch/here.mp4")
    for i, path in enumerate(("docs/strip.jpg", "./docs/strip.jpg", str(desk / "docs/strip.jpg"))):
        reelward(desk, "new", f"kept{i}", "--video", path)
        assert params(desk)["fetch"]["source"] == "docs/strip.jpg"
    link = reelward(desk, "new", "linked", "--video", "https://example.com/v.mp4")
    assert "study/linked" in link and params(desk)["fetch"]["sha256"] is None


def test_a_study_names_who_writes_and_who_judges(desk: Path) -> None:
    reelward(desk, "new", "models", "--author", "qwen", "--critic", "llava")
    author, critic = params(desk)["propose"], params(desk)["critique"]
    assert (author["author"], author["model"]) == ("llm", "qwen")
    assert (critic["critic"], critic["model"]) == ("vlm", "llava")
    reelward(desk, "new", "mine", "--author", "measured", "--critic", "person")
    author, critic = params(desk)["propose"], params(desk)["critique"]
    assert (author["author"], author["model"]) == ("measured", None)
    assert (critic["critic"], critic["model"]) == ("file", None)
    assert (desk / critic["file"]).read_text() == (ROOT / "prompts/critiques.yaml").read_text()
    assert run(desk, "git", "status", "--porcelain") == ""
    said = desk / critic["file"]
    said.write_text("iter-00: {c0: {rank: 1}}\n")
    run(desk, "git", "commit", "--quiet", "--all", "--message", "Say something")
    reelward(desk, "new", "next", "--from", "mine")  # not what was said of another study's films
    assert params(desk)["critique"]["critic"] == "file"
    assert said.read_text() == (ROOT / "prompts/critiques.yaml").read_text()


def test_a_study_is_held_to_what_is_asked_of_it(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reelward(desk, "new", "walk", "--critic", "person", "--task", "hop")
    settle(desk, start=2.5)
    monkeypatch.chdir(desk)
    hold(robot="biped", task="hop", critic="person", video=params(desk)["fetch"]["source"])
    for settings, complaint in (
        ({"robot": "ant"}, "robot: study walk has biped, asked for was ant"),
        ({"critic": "measured"}, "critique.critic: study walk has file, asked for was measured"),
        ({"author": "qwen"}, "propose.author: study walk has measured, asked for was llm"),
        ({"video": "https://example.com/v.mp4"}, "fetch.source: study walk has pypi:"),
    ):
        with pytest.raises(StudyError, match=complaint):
            hold(**settings)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("Walk!",), "expected a name of a-z"),
        (("a..lock",), "expected a name of a-z"),
        (("walk", "--robot", "hoper"), f"robot: expected one of {', '.join(ROBOTS)}, got hoper"),
        (("walk", "--preset", "horse"), "preset: expected one of ant-cpu, ant-gpu"),
        (("walk", "--video", "nowhere.mp4"), "video: expected a file"),
        (("walk", "--from", "nobody"), "no study nobody"),
        (("walk", "--author", ""), "author: expected a model's name on its server, or measured"),
        (("walk", "--critic", "vlm"), "critic: expected a model's name on its server, or measured"),
        (("walk", "--seed", "-3"), "seed: expected a whole number at least 0, got -3"),
    ],
)
def test_nonsense_changes_nothing(house: Path, args: tuple[str, ...], complaint: str) -> None:
    said = reelward(house, "new", *args, code=2)
    assert complaint in said and len(said.splitlines()) == 1
    assert run(house, "git", "branch", "--show-current") == "main\n"
    assert run(house, "git", "status", "--porcelain") == ""


def test_git_without_identity_gets_one_for_the_commit_alone(desk: Path) -> None:
    nobody = {f"GIT_{r}_{k}": "" for r in ("AUTHOR", "COMMITTER") for k in ("NAME", "EMAIL")}
    nobody |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "EMAIL": ""}
    run(desk, "git", "config", "user.useConfigOnly", "true")
    reelward(desk, "new", "walk", **nobody)
    assert run(desk, "git", "log", "-1", "--format=%an %ae %cn") == (
        "reelward reelward@localhost reelward\n"
    )
    assert "user.name" not in run(desk, "git", "config", "--list", "--local")


def test_every_preset_passes_the_check_and_a_robot_brings_its_own(desk: Path) -> None:
    before = params(desk)
    stages = yaml.safe_load((desk / "dvc.yaml").read_text())["stages"]
    commands = {name: s.get("do", s)["cmd"] for name, s in stages.items()}
    presets = sorted(p.stem for p in (desk / "presets").iterdir())
    for preset in presets:
        run(desk, "git", "switch", "--quiet", "main")
        reelward(desk, "new", preset, "--preset", preset)
        assert complaints(params(desk), commands, "") == []
        assert params(desk)["robot"].startswith(preset.partition("-")[0])
        assert params(desk)["train"]["device"] == {"cpu": "cpu", "gpu": "cuda"}[preset[-3:]]
        assert params(desk)["critique"] == before["critique"]
    run(desk, "git", "switch", "--quiet", "main")
    reelward(desk, "new", "spider", "--robot", "ant")
    assert (params(desk)["robot"], params(desk)["train"]["symmetric"]) == ("ant", False)
    wrong = params(desk) | {"train": params(desk)["train"] | {"symmetric": True}}
    (line,) = complaints(wrong, commands, "")
    assert "train.symmetric = true: ant is no planar robot" in line


def test_presets_leave_nothing_of_each_other(desk: Path) -> None:
    keys = {frozenset(yaml.safe_load(p.read_text())["train"]) for p in (desk / "presets").iterdir()}
    assert len(keys) == 1
    reelward(desk, "new", "big", "--preset", "ant-gpu")
    for name, robot, work in (("a", "humanoid_fast", 60_000_000), ("b", "ant_fast", 30_000_000)):
        reelward(desk, "new", name, "--from", "big", "--robot", robot)
        assert params(desk)["train"]["env_steps"] == work
        assert params(desk)["train"]["device"] == "cuda"
    said = reelward(desk, "new", "c", "--from", "big", "--robot", "hopper", code=2)
    assert "no preset hopper-gpu; name one of ant-cpu" in said
    assert run(desk, "git", "branch", "--show-current") == "study/b\n"


def test_a_study_begins_from_main_whatever_is_checked_out(desk: Path) -> None:
    before = (desk / "params.yaml").read_text()
    reelward(desk, "new", "spider", "--robot", "half_cheetah", "--task", "the spider's run")
    assert params(desk)["train"]["activation"] == "silu"
    assert complaints(params(desk), {}, "") == []
    reelward(desk, "new", "walk")
    assert (desk / "params.yaml").read_text() == before
    assert run(desk, "git", "log", "--format=%s", "main..") == "Begin study walk\n"
    settle(desk, stature=1.8)
    assert "settings here are not committed" in reelward(desk, "new", "far", code=2)
    assert params(desk)["keyframes"]["stature"] == 1.8


def test_a_study_of_another_clone_is_entered_and_gone_on_from(desk: Path, tmp_path: Path) -> None:
    reelward(desk, "new", "walk", "--task", "walk far")
    run(desk, "git", "switch", "--quiet", "main")
    clone = tmp_path / "clone"
    run(desk, "git", "clone", "--quiet", str(desk), str(clone))
    assert "study walk exists" in reelward(clone, "new", "walk", code=2)
    reelward(clone, "new", "far", "--from", "walk")
    assert params(clone)["task"] == "walk far"
    run(clone, sys.executable, "-c", "from reelward.studies.study import enter; enter('walk')")
    assert run(clone, "git", "branch", "--show-current") == "study/walk\n"
    assert params(clone)["task"] == "walk far"


def test_a_study_goes_on_from_another(mine: Path) -> None:
    best = (mine / "rewards/best.py").read_text()
    settle(mine, candidates=7)
    run(mine, "git", "commit", "--quiet", "--all", "--message", "Seven")
    run(mine, "git", "switch", "--quiet", "main")
    reelward(mine, "new", "next", "--from", "tiny", "--robot", "walker2d")
    assert (mine / "rewards/seed/selected.py").read_text() == best
    assert params(mine)["propose"]["candidates"] == 7
    assert params(mine)["robot"] == "walker2d"
    left = {p.name for p in (mine / "rewards").iterdir()}
    assert left == {"seed"} and not (mine / "metrics.json").exists()


def test_studies_do_not_mix_their_files(mine: Path) -> None:
    policies = run(mine, "sha256sum", "data/iterations/iter-00/policies/SHA256SUMS")
    reelward(mine, "new", "fresh")
    assert {p.name for p in (mine / "rewards").iterdir()} == {"seed"}
    assert run(mine, "git", "status", "--porcelain") == ""
    assert not (mine / "dvc.lock").exists() and not (mine / "report").exists()
    assert not (mine / "data/iterations/iter-00").exists()
    (mine / "data/iterations/iter-07").mkdir()
    run(mine, sys.executable, "-c", "from reelward.studies.study import enter; enter('tiny')")
    assert run(mine, "git", "branch", "--show-current") == "study/tiny\n"
    assert not (mine / "data/iterations/iter-07").exists()
    assert run(mine, "sha256sum", "data/iterations/iter-00/policies/SHA256SUMS") == policies
    assert json.loads(dvc(mine, "status", "--json")) == {}


def test_entering_says_what_a_study_lacks(desk: Path) -> None:
    reelward(desk, "new", "walk")
    run(desk, "git", "switch", "--quiet", "main")
    enter = (sys.executable, "-c", "from reelward.studies.study import enter; enter('walk')")
    assert run(desk, *enter) == ""
    run(desk, "git", "switch", "--quiet", "main")
    run(desk, "git", "commit", "--quiet", "--allow-empty", "--message", "Better code")
    assert "git merge main brings them" in run(desk, *enter)


def test_results_that_are_not_committed_are_not_left_behind(mine: Path) -> None:
    (mine / "rewards/best.py").write_text("x = 1\n")
    assert "not committed" in reelward(mine, "new", "fresh", code=2)
    assert run(mine, "git", "branch", "--show-current") == "study/tiny\n"


def test_extend_and_plan(desk: Path) -> None:
    assert "3 iterations, the last iter-02" in reelward(desk, "extend", "--to", "3")
    assert "4 iterations, the last iter-03" in reelward(desk, "extend")
    assert "at least the 4" in reelward(desk, "extend", "--to", "1", code=2)
    plan = json.loads(reelward(desk, "plan", "--json"))
    trainings = [s for s in plan if s["kind"] == "training"]
    assert [s["stage"] for s in trainings] == [f"train@iter-0{i}" for i in range(4)]
    assert all(s["certain"] and s["why"] == ["never run"] for s in plan)
    assert [s["stage"] for s in plan][0] == "check"
    settle(desk, author="llm")
    assert len([s for s in reelward(desk, "plan").splitlines() if "paid call" in s]) == 4 + 1
    kept = [x for x in (desk / "params.yaml").read_text().splitlines(True) if "hidden" not in x]
    (desk / "params.yaml").write_text("".join(kept))
    assert "Could not find 'train.hidden'" in reelward(desk, "plan", code=2)


def test_plan_tells_what_is_certain_from_what_follows() -> None:
    needs = {
        "check": [],
        "propose@a": ["check"],
        "train@a": ["propose@a"],
        "critique@a": ["train@a"],
        "publish": ["critique@a"],
    }
    settings = {"propose": {"author": "measured"}, "critique": {"critic": "vlm"}}
    changed = {"check": ["train.gamma 0.98 -> 0.9"], "train@a": ["train.gamma 0.98 -> 0.9"]}
    found = {s.stage: (s.kind, s.certain, s.why) for s in steps(changed, needs, settings)}
    assert found == {
        "check": ("free", True, ("train.gamma 0.98 -> 0.9",)),
        "train@a": ("training", True, ("train.gamma 0.98 -> 0.9",)),
        "critique@a": ("paid call", False, ("follows train@a",)),
        "publish": ("free", False, ("follows critique@a",)),
    }
    assert steps({}, needs, settings) == []


def test_plan_names_a_setting_that_only_a_command_shows(mine: Path) -> None:
    text = (mine / "params.yaml").read_text()
    (mine / "params.yaml").write_text(text.replace("\nseed: 1 ", "\nseed: 2 "))
    settle(mine, gamma=0.5)
    why = {s["stage"]: s["why"] for s in json.loads(reelward(mine, "plan", "--json"))}
    assert why["seed"] == ["seed 1 -> 2"]
    assert why["train@iter-00"] == ["train.gamma 0.98 -> 0.5", "seed 1 -> 2"]


def test_plan_says_why_in_words() -> None:
    assert options("python -m x --seed 1 --task 'walk far' --crop 0 1 --flag --no-other") == {
        "seed": "1", "task": "walk far", "crop": "0 1", "flag": "True", "other": "False",
    }  # fmt: skip
    assert options("python -m x --task 'it's' --seed 1")["seed"] == "1"
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


@pytest.mark.parametrize("robot", WITH_ROOT)
def test_the_seed_reward_fits_every_robot(robot: str) -> None:
    source = (ROOT / "rewards/seed/selected.py").read_text()
    terms = compile_reward(source, load_robot(robot).fields).terms
    assert terms == ("alive", "speed", "upright")


def test_check_tells_the_terms(house: Path) -> None:
    said = reelward(house, "check", "rewards/seed/selected.py", "--robot", "biped", "--json")
    assert [t["name"] for t in json.loads(said)["terms"]] == ["alive", "speed", "upright"]


def test_check_refuses_and_says_where(house: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def reward(s):\n    return {'a': s.root_pso[:, 0]}\n")
    said = reelward(house, "check", str(bad), "--robot", "biped", code=1)
    assert f"{bad}:2:" in said and "root_pos" in said


def test_fields_are_the_robots(house: Path) -> None:
    fields = json.loads(reelward(house, "fields", "--robot", "biped", "--json"))
    knees = next(f for f in fields if f["name"] == "joint_pos")
    assert "right_knee" in knees["names"] and knees["unit"] == "rad"
