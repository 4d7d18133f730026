"""Studies: what a new one begins with, what entering and leaving one does to the files."""

from __future__ import annotations

import dataclasses
import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, dvc, reelward, run, settle

from reelward.studies.git import StudyError
from reelward.studies.overview import Overview, lines, overview
from reelward.studies.settings import Choice, applied, completed
from reelward.studies.study import bring_data, enter, extend, new, require
from stages.__main__ import complaints

ROBOTS = sorted(p.name for p in (ROOT / "robots").iterdir() if p.is_dir())


@pytest.fixture
def here(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A desk as the working directory."""
    return at(desk, monkeypatch)


@pytest.fixture
def tiny(mine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny study as the working directory."""
    return at(mine, monkeypatch)


def at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@example.com")
    return folder


def params(folder: Path) -> dict:
    return yaml.safe_load((folder / "params.yaml").read_text())


def branch(folder: Path) -> str:
    return run(folder, "git", "branch", "--show-current").strip()


# --- what a study begins with


def test_a_study_begins_on_its_branch_without_results(here: Path) -> None:
    (here / "LICENSE").write_text("edited, and not the study's business")
    new("walk", Choice(robot="hopper", task="hop: # up, 'and' down"))
    assert branch(here) == "study/walk"
    assert params(here)["robot"] == "hopper"
    assert params(here)["task"] == "hop: # up, \u2019and\u2019 down"
    assert complaints(params(here), {}, "") == []
    assert params(here)["fetch"] == params(ROOT)["fetch"]
    assert run(here, "git", "log", "-1", "--format=%s") == "Begin study walk\n"
    assert run(here, "git", "status", "--porcelain") == " M LICENSE\n"


def test_settings_change_their_own_lines_alone() -> None:
    before = (ROOT / "params.yaml").read_text()
    assert applied(before, {}) == before
    values = {"task": "hop: # up", "fetch.sha256": None, "train.learning_rate": 3e-5, "seed": 7}
    after = applied(before, values)
    moved = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert len(moved) == 4
    assert all(a.partition(" #")[2] == b.partition(" #")[2] for a, b in moved if "task:" not in a)
    assert yaml.safe_load(after)["task"] == "hop: # up"
    assert yaml.safe_load(after)["fetch"]["sha256"] is None
    with pytest.raises(
        StudyError, match=r"params.yaml has no train.gama; did you mean train.gamma\?"
    ):
        applied(before, {"train.gama": 1.0})


def test_a_video_file_is_pinned_and_used_uncut(here: Path, tmp_path: Path) -> None:
    film = tmp_path / "my film.mp4"
    film.write_bytes(b"not looked into here")
    new("mine", Choice(video=str(film)))
    fetch = params(here)["fetch"]
    assert fetch["source"] == str(film)
    assert fetch["sha256"] == sha256(b"not looked into here").hexdigest()
    assert (fetch["start"], fetch["end"], fetch["crop"]) == (0.0, None, None)
    assert fetch["max_mb"] == params(ROOT)["fetch"]["max_mb"]


def test_a_video_is_named_as_given_and_relative_to_the_clone_inside_it(
    here: Path, tmp_path: Path
) -> None:
    (tmp_path / "film.mp4").write_bytes(b"outside")
    (here / "scratch").mkdir(exist_ok=True)
    (here / "scratch/here.mp4").write_bytes(b"git does not know it")
    for i, (given, named) in enumerate(
        (
            ("scratch/here.mp4", "scratch/here.mp4"),
            (str(here / "scratch/here.mp4"), "scratch/here.mp4"),
            ("./docs/strip.jpg", "docs/strip.jpg"),
            ("../film.mp4", "../film.mp4"),
            (str(tmp_path / "film.mp4"), str(tmp_path / "film.mp4")),
        )
    ):
        new(f"video{i}", Choice(video=given))
        assert params(here)["fetch"]["source"] == named
    new("linked", Choice(video="https://example.com/v.mp4"))
    assert params(here)["fetch"]["sha256"] is None


def test_a_study_names_its_author_and_critic(here: Path) -> None:
    new("models", Choice(author="qwen", critic="llava"))
    author, critic = params(here)["propose"], params(here)["critique"]
    assert (author["author"], author["model"]) == ("llm", "qwen")
    assert (critic["critic"], critic["model"]) == ("vlm", "llava")
    new("mine", Choice(author="measured", critic="person"))
    author, critic = params(here)["propose"], params(here)["critique"]
    assert (author["author"], author["model"]) == ("measured", None)
    assert (critic["critic"], critic["model"]) == ("person", None)
    example = (ROOT / "prompts/critiques.yaml").read_text()
    critiques = here / critic["file"]
    assert critiques.read_text() == example
    assert run(here, "git", "status", "--porcelain") == ""
    critiques.write_text("iter-00: {c0: {rank: 1}}\n")
    run(here, "git", "commit", "--quiet", "--all", "--message", "Write a critique")
    new("next", Choice(), "mine")  # critiques of another study's films are not taken along
    assert params(here)["critique"]["critic"] == "person" and critiques.read_text() == example


def test_a_study_of_other_settings_is_refused(here: Path) -> None:
    new("walk", Choice(critic="person", task="hop"))
    settle(here, {"fetch.start": 2.5})
    source = params(here)["fetch"]["source"]
    require(Choice(robot="biped", task="hop", critic="person", video=source))
    for choice, complaint in (
        (Choice(robot="ant"), "robot: study walk has biped, asked for was ant"),
        (Choice(critic="measured"), "critique.critic: study walk has person, asked for was"),
        (Choice(author="qwen"), "propose.author: study walk has measured, asked for was llm"),
        (Choice(video="https://example.com/v.mp4"), "fetch.source: study walk has pypi:"),
    ):
        with pytest.raises(StudyError, match=complaint):
            require(choice)


@pytest.mark.parametrize(
    ("name", "choice", "source", "complaint"),
    [
        ("Walk!", Choice(), None, "name: expected up to 60 of a-z"),
        ("a..lock", Choice(), None, "name: expected up to 60 of a-z"),
        ("walk", Choice(robot="hoper"), None, f"expected one of {', '.join(ROBOTS)}, got hoper"),
        ("walk", Choice(preset="horse"), None, "preset: expected one of ant-cpu, ant-gpu"),
        ("walk", Choice(video="nowhere.mp4"), None, "video: expected a file"),
        ("walk", Choice(), "nobody", "no study nobody"),
        ("walk", Choice(author=""), None, "author: expected a model's name on its server, or meas"),
        ("walk", Choice(critic="vlm"), None, "critic: expected a model's name on its server, or"),
        ("walk", Choice(seed=-3), None, "seed: expected a whole number at least 0 and below"),
    ],
)
def test_a_refused_study_changes_nothing(
    house: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    choice: Choice,
    source: str | None,
    complaint: str,
) -> None:
    monkeypatch.chdir(house)
    with pytest.raises(StudyError, match=complaint):
        new(name, choice, source)
    assert branch(house) == "main"
    assert run(house, "git", "status", "--porcelain") == ""


def test_git_without_an_identity_gets_one_for_the_commit_alone(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(desk, monkeypatch)
    for role in ("AUTHOR", "COMMITTER"):
        for key in ("NAME", "EMAIL"):
            monkeypatch.setenv(f"GIT_{role}_{key}", "")
    for key, value in {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}.items():
        monkeypatch.setenv(key, value)
    run(desk, "git", "config", "user.useConfigOnly", "true")
    new("walk", Choice())
    who = run(desk, "git", "log", "-1", "--format=%an %ae %cn")
    assert who == "reelward reelward@localhost reelward\n"
    assert "user.name" not in run(desk, "git", "config", "--list", "--local")


# --- presets


def test_every_preset_passes_the_check(here: Path) -> None:
    before = params(here)
    stages = yaml.safe_load((here / "dvc.yaml").read_text())["stages"]
    commands = {name: s.get("do", s)["cmd"] for name, s in stages.items()}
    trained: dict[str, set[str]] = {}
    for path in sorted((here / "presets").iterdir()):
        new(path.stem, Choice(preset=path.stem))
        lines = complaints(params(here), commands, "")
        assert [line for line in lines if "this machine has no CUDA GPU" not in line] == []
        content = yaml.safe_load(path.read_text())
        if "robot" in content:
            assert params(here)["robot"] == content["robot"]
            assert params(here)["critique"] == before["critique"]
            device = "cuda" if path.stem.endswith("-gpu") else "cpu"
            assert params(here)["train"]["device"] == device
            trained[path.stem] = set(content["train"])
    assert len(set(map(frozenset, trained.values()))) == 1, "a preset leaves values of another"


def test_another_robot_brings_its_preset_for_the_same_device(here: Path) -> None:
    new("spider", Choice(robot="ant"))
    assert (params(here)["robot"], params(here)["train"]["symmetric"]) == ("ant", False)
    new("big", Choice(preset="ant-gpu"))
    for name, robot, steps in (("a", "humanoid_fast", 60_000_000), ("b", "ant_fast", 30_000_000)):
        new(name, Choice(robot=robot), "big")
        assert params(here)["train"]["env_steps"] == steps
        assert params(here)["train"]["device"] == "cuda"
    with pytest.raises(StudyError, match="no preset hopper-gpu; name one of ant-cpu"):
        new("c", Choice(robot="hopper"), "big")
    assert branch(here) == "study/b"


# --- from one study to another


def test_a_study_begins_from_main_whichever_is_checked_out(here: Path) -> None:
    before = (here / "params.yaml").read_text()
    new("spider", Choice(robot="half_cheetah", task="the spider's run"))
    assert params(here)["train"]["activation"] == "silu"
    new("walk", Choice())
    assert (here / "params.yaml").read_text() == before
    assert run(here, "git", "log", "--format=%s", "main..") == "Begin study walk\n"
    settle(here, {"keyframes.stature": 1.8})
    with pytest.raises(StudyError, match="params.yaml is not committed to study/walk"):
        new("far", Choice())
    assert params(here)["keyframes"]["stature"] == 1.8


def test_a_study_of_another_clone_is_entered_and_continued(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new("walk", Choice(task="walk far"))
    run(here, "git", "switch", "--quiet", "main")
    run(here, "git", "clone", "--quiet", str(here), str(tmp_path / "clone"))
    clone = at(tmp_path / "clone", monkeypatch)
    with pytest.raises(StudyError, match="study walk exists"):
        new("walk", Choice())
    new("far", Choice(), "walk")
    assert params(clone)["task"] == "walk far"
    enter("walk")
    assert branch(clone) == "study/walk" and params(clone)["task"] == "walk far"


def test_a_study_continues_from_the_best_reward_of_another(tiny: Path) -> None:
    best = (tiny / "rewards/best.py").read_text()
    settle(tiny, {"propose.candidates": 7})
    run(tiny, "git", "commit", "--quiet", "--all", "--message", "Seven")
    run(tiny, "git", "switch", "--quiet", "main")
    new("next", Choice(robot="walker2d"), "tiny")
    assert (tiny / "rewards/seed/selected.py").read_text() == best
    assert params(tiny)["propose"]["candidates"] == 7
    assert params(tiny)["robot"] == "walker2d"
    assert {p.name for p in (tiny / "rewards").iterdir()} == {"seed"}
    assert not (tiny / "metrics.json").exists()


def test_an_older_study_is_continued_with_the_settings_that_came_since(here: Path) -> None:
    text = (here / "params.yaml").read_text()
    older = "".join(x for x in text.splitlines(True) if "worst:" not in x and "film" not in x)
    older = older.replace("  seconds: 7.0 ", "#").replace("gamma: 0.98", "gamma: 0.9")
    new("older", Choice())
    (here / "params.yaml").write_text(older)
    run(here, "git", "commit", "--quiet", "--all", "--message", "Older")
    new("newer", Choice(), "study/older")
    assert params(here)["measure"] == params(ROOT)["measure"]
    assert params(here)["film"] == params(ROOT)["film"]
    assert params(here)["train"]["gamma"] == 0.9
    assert completed(text, text) == text


def test_studies_do_not_mix_their_files(tiny: Path) -> None:
    sums = tiny / "data/iterations/iter-00/policies/SHA256SUMS"
    policies = sums.read_bytes()
    new("fresh", Choice())
    assert {p.name for p in (tiny / "rewards").iterdir()} == {"seed"}
    assert run(tiny, "git", "status", "--porcelain") == ""
    assert not (tiny / "dvc.lock").exists() and not (tiny / "report").exists()
    assert not (tiny / "data/iterations/iter-00").exists()
    (tiny / "data/iterations/iter-07").mkdir()
    enter("tiny")
    assert branch(tiny) == "study/tiny"
    assert not (tiny / "data/iterations/iter-07").exists()
    assert sums.read_bytes() == policies
    (tiny / "report/index.html").unlink()
    (tiny / "data/iterations/iter-07").mkdir()
    bring_data()
    assert (tiny / "report/index.html").exists()
    assert not (tiny / "data/iterations/iter-07").exists()
    assert json.loads(dvc(tiny, "status", "--json")) == {}
    (tiny / "rewards/best.py").write_text("x = 1\n")
    with pytest.raises(StudyError, match="rewards/best.py is not committed to study/tiny"):
        new("other", Choice())
    assert branch(tiny) == "study/tiny"


def test_entering_a_study_says_what_it_lacks(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new("walk", Choice())
    run(here, "git", "switch", "--quiet", "main")
    enter("walk")
    assert capsys.readouterr().out == ""
    run(here, "git", "switch", "--quiet", "main")
    run(here, "git", "commit", "--quiet", "--allow-empty", "--message", "Better code")
    enter("walk")
    assert "git merge main brings them" in capsys.readouterr().out


def test_the_command_makes_and_extends_a_study(desk: Path) -> None:
    output = reelward(desk, "new", "walk", "--robot", "hopper", "--seed", "3")
    assert "on branch study/walk" in output
    assert (params(desk)["robot"], params(desk)["seed"]) == ("hopper", 3)
    output = reelward(desk, "extend", "--to", "3")
    assert "3 iterations, the last iter-02" in output and "git commit -m iter-02" in output
    assert "4 iterations, the last iter-03" in reelward(desk, "extend")
    output = reelward(desk, "extend", "--to", "1", code=2)
    assert output == ("reelward: expected at least the 4 iterations that loop.yaml has, got 1\n")


def test_only_a_study_is_extended(here: Path) -> None:
    before = (here / "loop.yaml").read_bytes()
    for detached in ((), ("--detach",)):
        run(here, "git", "switch", "--quiet", *detached, "main")
        with pytest.raises(StudyError, match="expected a branch study/NAME, got (main|no branch)"):
            extend()
    assert (here / "loop.yaml").read_bytes() == before


# --- all studies


def test_the_list_shows_what_git_has_of_each_study(here: Path) -> None:
    assert overview() == []
    new("hop", Choice(robot="hopper", task="hop: # up"))
    extend(3)
    (here / "metrics.json").write_text('{"iteration": "iter-01", "closeness": 0.75}')
    run(here, "git", "add", "metrics.json", "loop.yaml")
    run(here, "git", "commit", "--quiet", "--message", "Two of three")
    run(here, "git", "update-ref", "refs/remotes/origin/study/far", "main")
    run(here, "git", "update-ref", "refs/remotes/origin/study/hop", "main")
    (here / "params.yaml").write_text("not committed")
    studies = {s.name: s for s in overview()}
    hop, far = studies["hop"], studies["far"]
    assert len(studies) == 2 and hop.here and not hop.remote and far.remote and not far.here
    assert (hop.robot, hop.task, hop.done, hop.planned, hop.closeness) == (
        "hopper", "hop: # up", 2, 3, 0.75,
    )  # fmt: skip
    assert (far.robot, far.done, far.planned, far.closeness) == ("biped", 0, 1, None)
    table = lines(list(studies.values()), 70)
    assert max(map(len, table)) <= 70 and table[0].split()[0] == "study"
    assert any(re.match(r"\*  hop +hopper +2 of 3 +0.750 ", line) for line in table)


def test_a_broken_study_does_not_hide_the_others(here: Path) -> None:
    new("walk", Choice())
    (here / "params.yaml").write_text("robot: [\n")
    (here / "loop.yaml").unlink()
    (here / "metrics.json").write_text("{")
    run(here, "git", "add", "metrics.json")
    run(here, "git", "commit", "--quiet", "--all", "--message", "Broken")
    new_branch = Overview("walk", True, False, None, None, 0, None, None, "", "")
    (study,) = overview()
    assert dataclasses.replace(study, date="", age="") == new_branch


def test_the_history_of_the_rewards_shows_rewards_alone(here: Path) -> None:
    folder = here / "rewards/iter-00/candidates"
    folder.mkdir(parents=True)
    for path in (folder / "index.json", folder / "SHA256SUMS", folder.parent / "feedback.json"):
        path.write_text("machine\n")
    (folder / "c0.py").write_text("reward\n")
    run(here, "git", "add", "rewards")
    run(here, "git", "commit", "--quiet", "--message", "iter-00")
    text = run(here, "git", "log", "-1", "-p", "rewards/")
    assert "+reward" in text and "+machine" not in text
    assert run(here, "git", "log", "-1", "-p", "-a", "rewards/").count("+machine") == 3
