"""Two versions of a reward side by side: every number here is known by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from conftest import reelward, run
from rich.console import Console

from reelward.records import Critique, Feedback, Row, Training
from reelward.runtime.clone import MARKS
from reelward.studies.diff import (
    Comparison,
    DiffError,
    Effect,
    compare,
    difference,
    html_page,
    load_version,
    number,
    parent_of,
    print_comparison,
)

SEED = """\
WEIGHT = {"alive": 1.0, "fast": 2.0}
WIDE = (0.5, 0.25)


def reward(s):
    return {
        "alive": WEIGHT["alive"] * alive(s),
        "fast": WEIGHT["fast"] * s.root_vel[:, 0],
        "quiet": -0.1 * s.action.square().mean(dim=-1),
    }
"""
FIRST = """\
PERIOD = 1.2
WEIGHT = {"alive": 1.0, "fast": 2.5, "high": 1.0}
WIDE = (0.5, 0.3)


def reward(s):
    return {
        "high": WEIGHT["high"] * s.root_pos[:, 2],
        "alive": WEIGHT["alive"] * alive(s),
        "fast": WEIGHT["fast"] * s.root_vel[:, 0],
    }
"""
SECOND = FIRST.replace("s.root_vel[:, 0]", "s.root_vel[:, 0].clamp(max=2.0)")
HEAD = "iteration,candidate,closeness,survival,verdict,env_steps,speed,knee\n"
LINES = (
    "iter-00,c1,0.5,1.0,better,600000,0.30,50.0\n",
    "iter-01,c0,0.625,1.0,better,900000,0.45,49.0\n",
)
LEDGER = "iterations:\n  iter-00: {parent: seed}\n"


def feedback(selected: str, returns: tuple[float, ...]) -> str:
    rows = tuple(
        Row(name=name, unit="", expert=expert, learner=None, off=None, tolerance=1.0, weight=1.0,
            part=None)
        for name, expert in (("speed", 0.4), ("knee", 60.0))
    )  # fmt: skip
    critique = Critique(
        closeness=0.5,
        survival=1.0,
        gates={},
        rows=rows,
        verdict="better",
        measured_verdict="better",
    )
    training = Training(env_steps=(), returns=returns, episode_length=(), terms={})
    return Feedback(selected=selected, critique=critique, training=training).model_dump_json()


def printed(comparison: Comparison) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    print_comparison(comparison, console)
    return console.export_text()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two iterations, a commit each, written by hand."""

    def put(iteration: str, reward: str, history: str, feedback: str, ledger: str) -> None:
        folder = tmp_path / "rewards" / iteration
        folder.mkdir(parents=True)
        (folder / "selected.py").write_text(reward)
        (folder / "history.csv").write_text(HEAD + history)
        (folder / "feedback.json").write_text(feedback)
        (tmp_path / "loop.yaml").write_text(ledger)
        if iteration != "seed":
            (tmp_path / "rewards/best.py").write_text(reward)
            (tmp_path / "metrics.json").write_text(json.dumps({"iteration": iteration}))
        run(tmp_path, "git", "add", "--all")
        run(tmp_path, "git", "commit", "--quiet", "--message", iteration)

    run(tmp_path, "git", "init", "--quiet", "--initial-branch=study/mine")
    for mark in MARKS:
        (tmp_path / mark).touch()
    (tmp_path / "params.yaml").write_text("robot: biped\n")
    put("seed", SEED, "", "{}", LEDGER + "last: iter-00\n")
    put("iter-00", FIRST, LINES[0], feedback("iter-00/c1", (1.0, 40.0)), LEDGER + "last: iter-00\n")
    longer = LEDGER + "  iter-01: {parent: iter-00}\nlast: iter-01\n"
    put("iter-01", SECOND, "".join(LINES), feedback("iter-01/c0", (44.5,)), longer)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_terms_and_constants_of_the_first_iteration(desk: Path) -> None:
    c = compare(load_version("seed"), load_version("iter-00"))
    assert c.terms == {"high": "added", "alive": "same", "fast": "numbers", "quiet": "removed"}
    assert c.constants == {
        "PERIOD": (None, 1.2), "WEIGHT fast": (2.0, 2.5), "WEIGHT high": (None, 1.0),
        "WIDE 1": (0.25, 0.3),
    }  # fmt: skip
    assert c.effect["closeness"] == Effect(None, 0.5, 1.0)
    assert c.effect["return"].new == 40.0
    assert "+PERIOD = 1.2" in c.diff and c.diff[:2] == ["--- seed", "+++ iter-00"]


def test_another_formula_and_its_effect(desk: Path) -> None:
    c = compare(load_version("HEAD~1"), load_version("HEAD"))
    assert c.terms == {"high": "same", "alive": "same", "fast": "formula"}
    assert c.constants == {}
    assert c.effect == {
        "closeness": Effect(0.5, 0.625, 1.0),
        "survival": Effect(1.0, 1.0, 1.0),
        "return": Effect(40.0, 44.5, None),
        "env_steps": Effect(600000.0, 900000.0, None),
        "speed": Effect(0.30, 0.45, 0.4),
        "knee": Effect(50.0, 49.0, 60.0),
    }
    assert list(c.effect)[:3] == ["closeness", "survival", "return"]
    assert (c.old.iteration, c.new.selected) == ("iter-00", "iter-01/c0")
    assert {name: e.verdict for name, e in c.effect.items()} == {
        "closeness": "nearer", "survival": "", "return": "", "env_steps": "",
        "speed": "nearer", "knee": "further",
    }  # fmt: skip


def test_a_list_is_compared_by_its_elements_or_its_length(desk: Path) -> None:
    """A course that appears or disappears would fill the screen otherwise."""
    course = (
        'COURSE = {"knee": {"right": [0.2, 0.5, 0.0], "left": [0.2, -0.5, 0.0]}}\n\n\ndef reward('
    )

    def constants(old: str) -> object:
        return compare(load_version(old), load_version("iter-01")).constants

    file = desk / "rewards/iter-01/selected.py"
    file.write_text(SECOND.replace("def reward(", course))
    assert constants("HEAD") == {
        "COURSE knee right": (None, "3 numbers"), "COURSE knee left": (None, "3 numbers"),
    }  # fmt: skip
    run(desk, "git", "commit", "-qam", "course")
    file.write_text(file.read_text().replace("[0.2, 0.5,", "[0.3, 0.5,"))
    assert constants("HEAD:iter-01") == {"COURSE knee right 0": (0.2, 0.3)}
    file.write_text(SECOND.replace("def reward(", "COURSE = 0.5\n\n\ndef reward("))
    assert constants("HEAD:iter-01") == {"COURSE": ("a table", 0.5)}


def test_a_version_has_several_names(desk: Path) -> None:
    assert load_version("HEAD~1").source == load_version("HEAD:iter-00").source == FIRST
    assert load_version("HEAD~2").source == SEED and load_version("HEAD~2").iteration == "seed"
    assert load_version("iter-01").figures == load_version("HEAD").figures
    (desk / "rewards/iter-01/selected.py").write_text(FIRST)  # not committed
    assert load_version("iter-01").source == FIRST
    assert load_version("HEAD:iter-01").source == SECOND


def test_a_study_has_a_short_name_and_a_typo_the_nearest(desk: Path) -> None:
    for name in ("mine", "study/mine", "HEAD"):
        assert load_version(name).source == SECOND
        assert load_version(f"{name}~1").source == load_version(f"{name}:iter-00").source == FIRST
    assert parent_of("mine") == "mine~" and parent_of("mine:iter-01") == "mine:iter-00"
    for typo, near in (("mien", "mine"), ("study/mien", "study/mine"), ("itr-01", "iter-01")):
        with pytest.raises(DiffError, match=rf"got {typo}; did you mean {near}\?"):
            load_version(typo)
    with pytest.raises(DiffError, match=r"selected.py there; did you mean iter-01\?"):
        load_version("mine:iter-1")


def test_native_terms_compile_by_their_names(desk: Path) -> None:
    (desk / "params.yaml").write_text("robot: biped\nnative: {style: {function: nowhere:style}}\n")
    reward = "def reward(s):\n    return {'a': style(s)}\n"
    (desk / "rewards/iter-00/selected.py").write_text(reward)
    c = compare(load_version("iter-00"), load_version("HEAD:iter-01"))
    assert c.old.error == "" and c.terms is not None and c.terms["a"] == "removed"


def test_one_name_is_compared_with_its_parent(desk: Path) -> None:
    revisions = ("iter-01", "iter-00", "HEAD~1")
    assert [parent_of(r) for r in revisions] == ["iter-00", "seed", "HEAD~1~"]
    assert parent_of("HEAD~1:iter-00") == "HEAD~1:seed"
    with pytest.raises(DiffError, match="iter-07: loop.yaml has no such iteration; it has iter-00"):
        parent_of("iter-07")
    with pytest.raises(DiffError, match="expected a git revision.* got nonsense;"):
        parent_of("nonsense")
    with pytest.raises(DiffError, match="seed has no parent in loop.yaml; name two versions"):
        parent_of("seed")


@pytest.mark.parametrize(
    ("rev", "complaint"),
    [
        (
            "nonsense",
            "expected a git revision, a study or an iteration such as iter-02, got nonsense",
        ),
        ("nonsense:iter-00", "expected a git revision.* got nonsense;"),
        ("--help", "expected a git revision.* got --help;"),
        ("iter-07", "iter-07 has no reward: expected rewards/iter-07/selected.py there"),
        ("HEAD~1:iter-01", "HEAD~1:iter-01 has no reward: expected rewards/iter-01/selected.py"),
    ],
)
def test_a_version_that_does_not_exist_is_one_line(desk: Path, rev: str, complaint: str) -> None:
    with pytest.raises(DiffError, match=complaint) as error:
        load_version(rev)
    assert "\n" not in str(error.value)


def test_feedback_of_another_version_of_reelward_is_one_line(desk: Path) -> None:
    (desk / "rewards/iter-00/feedback.json").write_text('{"selected": "iter-00/c1", "moves": 3}')
    with pytest.raises(DiffError, match="iter-00/feedback.json is of another version .*moves"):
        load_version("iter-00")


def test_a_reward_that_no_longer_compiles_shows_its_text(desk: Path) -> None:
    (desk / "rewards/iter-01/selected.py").write_text(SECOND.replace("root_vel", "root_pace"))
    c = compare(load_version("iter-00"), load_version("iter-01"))
    assert c.terms is None and c.constants is None
    assert "no field 'root_pace'" in c.new.error and c.old.error == ""
    assert any("root_pace" in line for line in c.diff)
    assert c.effect["closeness"].new == 0.625
    assert "does not compile: E_FIELD line 10" in printed(c)
    (desk / "params.yaml").write_text("robot: nobody\n")
    c = compare(load_version("HEAD:iter-00"), load_version("iter-00"))
    assert "its robot is not known" in c.new.error


def test_people_read_aligned_columns(desk: Path) -> None:
    text = printed(compare(load_version("seed"), load_version("iter-00")))
    assert "terms  + high  ~ fast  - quiet  1 unchanged" in text
    assert "WEIGHT fast     2      2.5    +0.5" in text
    text = printed(compare(load_version("iter-00"), load_version("iter-01")))
    assert "~ fast (formula)" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["knee", "60", "50", "49", "-1", "further"] in rows
    assert ["closeness", "0.5", "0.625", "+0.125", "nearer"] in rows
    assert ["env_steps", "600,000", "900,000", "+300,000"] in rows
    ends = {line.index(word) + len(word) for line in text.splitlines()
            for word in ("+0.125", "+300,000", "+0.15") if word in line}  # fmt: skip
    assert len(ends) == 1
    assert [number(v) for v in (None, 2, 0.25, 1234567.0, True, "a")] == [
        "–", "2", "0.25", "1,234,567", "True", "a",
    ]  # fmt: skip
    pairs = ((1, 1), (None, 1), (1, 0.5), ("a", "b"))
    assert [difference(*p) for p in pairs] == ["=", "", "-0.5", ""]


def test_the_page_is_one_file_and_escapes(desk: Path) -> None:
    evil = FIRST.replace("PERIOD", '"<script>alert(1)</script>"\nPERIOD')
    (desk / "rewards/iter-01/selected.py").write_text(evil)
    text = html_page(compare(load_version("seed"), load_version("iter-01")))
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "src=" not in text and "href=" not in text and "url(" not in text
    assert "+ high" in text and "<td>0.625</td>" in text


def test_the_command(desk: Path) -> None:
    c = json.loads(reelward(desk, "diff", "iter-01", "--json", "--html", "out.html"))
    assert c["old"]["rev"] == "iter-00" and c["terms"]["fast"] == "formula"
    assert c["effect"]["speed"] == {"old": 0.3, "new": 0.45, "goal": 0.4}
    assert (desk / "out.html").read_text().startswith("<!doctype html>")


def test_a_wrong_version_is_refused_before_the_compiler_is_loaded(desk: Path) -> None:
    message = reelward(desk, "diff", "HEAD", "HEAD~9", code=2, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in message.splitlines()}
    assert "reelward.studies.diff" in imported and "torch" not in imported
    errors = [line for line in message.splitlines() if not line.startswith("import time:")]
    assert len(errors) == 1 and errors[0].startswith("reelward: expected a git revision")
