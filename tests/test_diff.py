"""Two versions of a reward side by side: every number here is known by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import reelward, run
from rich.console import Console

from reelward.studies.diff import (
    DiffError,
    before,
    change,
    compare,
    number,
    page,
    show,
    verdict,
    version,
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


def feedback(name: str, returns: list[float]) -> str:
    differences = {"speed": {"expert": 0.4}, "knee": {"expert": 60.0}}
    return json.dumps(
        {"selected": name, "training": {"return": returns}, "differences": differences}
    )


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two iterations, a commit each, written by hand."""

    def put(iteration: str, reward: str, history: str, said: str, ledger: str) -> None:
        folder = tmp_path / "rewards" / iteration
        folder.mkdir(parents=True)
        (folder / "selected.py").write_text(reward)
        (folder / "history.csv").write_text(HEAD + history)
        (folder / "feedback.json").write_text(said)
        (tmp_path / "loop.yaml").write_text(ledger)
        if iteration != "seed":
            (tmp_path / "rewards/best.py").write_text(reward)
            (tmp_path / "metrics.json").write_text(json.dumps({"iteration": iteration}))
        run(tmp_path, "git", "add", "--all")
        run(tmp_path, "git", "commit", "--quiet", "--message", iteration)

    run(tmp_path, "git", "init", "--quiet")
    (tmp_path / "params.yaml").write_text("robot: biped\n")
    put("seed", SEED, "", "{}", LEDGER + "last: iter-00\n")
    put("iter-00", FIRST, LINES[0], feedback("iter-00/c1", [1.0, 40.0]), LEDGER + "last: iter-00\n")
    longer = LEDGER + "  iter-01: {parent: iter-00}\nlast: iter-01\n"
    put("iter-01", SECOND, "".join(LINES), feedback("iter-01/c0", [44.5]), longer)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_terms_and_constants_of_the_first_iteration(desk: Path) -> None:
    found = compare(version("seed"), version("iter-00"))
    assert found["terms"] == {
        "high": "added", "alive": "same", "fast": "numbers", "quiet": "removed",
    }  # fmt: skip
    assert found["constants"] == {
        "PERIOD": (None, 1.2), "WEIGHT fast": (2.0, 2.5), "WEIGHT high": (None, 1.0),
        "WIDE 1": (0.25, 0.3),
    }  # fmt: skip
    assert found["effect"]["closeness"] == {"old": None, "new": 0.5}
    assert found["effect"]["return"]["new"] == 40.0
    assert "+PERIOD = 1.2" in found["diff"] and found["diff"][:2] == ["--- seed", "+++ iter-00"]


def test_another_formula_and_its_effect(desk: Path) -> None:
    found = compare(version("HEAD~1"), version("HEAD"))
    assert found["terms"] == {"high": "same", "alive": "same", "fast": "formula"}
    assert found["constants"] == {}
    assert found["effect"] == {
        "closeness": {"old": 0.5, "new": 0.625},
        "survival": {"old": 1.0, "new": 1.0},
        "return": {"old": 40.0, "new": 44.5},
        "env_steps": {"old": 600000.0, "new": 900000.0},
        "speed": {"old": 0.30, "new": 0.45, "expert": 0.4},
        "knee": {"old": 50.0, "new": 49.0, "expert": 60.0},
    }
    assert (found["old"]["iteration"], found["new"]["selected"]) == ("iter-00", "iter-01/c0")
    words = {name: verdict(name, f)[0] for name, f in found["effect"].items()}
    assert words == {
        "closeness": "nearer", "survival": "", "return": "", "env_steps": "",
        "speed": "nearer", "knee": "further",
    }  # fmt: skip


def test_a_list_is_compared_by_its_elements_or_counted(desk: Path) -> None:
    """A course that comes or goes would fill the screen otherwise."""
    course = (
        'COURSE = {"knee": {"right": [0.2, 0.5, 0.0], "left": [0.2, -0.5, 0.0]}}\n\n\ndef reward('
    )
    put = desk / "rewards/iter-01/selected.py"
    put.write_text(SECOND.replace("def reward(", course))
    assert compare(version("HEAD"), version("iter-01"))["constants"] == {
        "COURSE knee right": (None, "3 figures"), "COURSE knee left": (None, "3 figures"),
    }  # fmt: skip
    run(desk, "git", "commit", "-qam", "course")
    put.write_text(put.read_text().replace("[0.2, 0.5,", "[0.3, 0.5,"))
    assert compare(version("HEAD:iter-01"), version("iter-01"))["constants"] == {
        "COURSE knee right 0": (0.2, 0.3)
    }
    put.write_text(SECOND.replace("def reward(", "COURSE = 0.5\n\n\ndef reward("))
    assert compare(version("HEAD:iter-01"), version("iter-01"))["constants"] == {
        "COURSE": ("a table", 0.5)
    }


def test_a_version_has_many_names(desk: Path) -> None:
    (desk / "params.yaml").write_text("robot: biped\nnative: {style: {function: nowhere:style}}\n")
    (desk / "rewards/iter-00/selected.py").write_text(
        "def reward(s):\n    return {'a': style(s)}\n"
    )
    assert version("iter-00").reward and not version("HEAD:iter-01").error
    run(desk, "git", "checkout", "--quiet", ".")
    assert version("HEAD~1").source == version("HEAD:iter-00").source == FIRST
    assert version("HEAD~2").source == SEED and version("HEAD~2").iteration == "seed"
    assert version("iter-01").figures == version("HEAD").figures
    (desk / "rewards/iter-01/selected.py").write_text(FIRST)  # not committed
    assert version("iter-01").source == FIRST and version("HEAD:iter-01").source == SECOND


def test_one_name_is_held_against_its_parent(desk: Path) -> None:
    assert [before(r) for r in ("iter-01", "iter-00", "HEAD~1")] == ["iter-00", "seed", "HEAD~1~"]
    assert before("HEAD~1:iter-00") == "HEAD~1:seed"
    with pytest.raises(DiffError, match="iter-07: loop.yaml has no such iteration; it has iter-00"):
        before("iter-07")
    with pytest.raises(DiffError, match="expected a git revision or an iteration .* got nonsense;"):
        before("nonsense")
    with pytest.raises(DiffError, match="seed has no parent in loop.yaml; name two versions"):
        before("seed")


@pytest.mark.parametrize(
    ("rev", "complaint"),
    [
        ("nonsense", "expected a git revision or an iteration such as iter-02, got nonsense"),
        ("nonsense:iter-00", "expected a git revision .* got nonsense;"),
        ("--help", "expected a git revision .* got --help;"),
        ("iter-07", "iter-07 has no reward: expected rewards/iter-07/selected.py there"),
        ("HEAD~1:iter-01", "HEAD~1:iter-01 has no reward: expected rewards/iter-01/selected.py"),
    ],
)
def test_a_version_that_is_not_there_is_one_line(desk: Path, rev: str, complaint: str) -> None:
    with pytest.raises(DiffError, match=complaint) as error:
        version(rev)
    assert "\n" not in str(error.value)


def test_a_reward_that_no_longer_compiles_shows_its_text(desk: Path) -> None:
    (desk / "rewards/iter-01/selected.py").write_text(SECOND.replace("root_vel", "root_pace"))
    found = compare(version("iter-00"), version("iter-01"))
    assert found["terms"] is None and found["constants"] is None
    assert "no field 'root_pace'" in found["new"]["error"] and found["old"]["error"] == ""
    assert any("root_pace" in line for line in found["diff"])
    assert found["effect"]["closeness"]["new"] == 0.625
    console = Console(width=100, record=True, file=open("/dev/null", "w"))
    show(found, console)
    assert "does not compile: E_FIELD line 10" in console.export_text()
    (desk / "params.yaml").write_text("robot: nobody\n")
    assert "its robot is not known" in version("iter-00").error


def test_people_read_aligned_columns(desk: Path) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))
    show(compare(version("seed"), version("iter-00")), console)
    said = console.export_text()
    assert "terms  + high  ~ fast  - quiet  1 as before" in said
    assert "WEIGHT fast     2      2.5    +0.5" in said
    show(compare(version("iter-00"), version("iter-01")), console)
    said = console.export_text()
    assert "~ fast (formula)" in said
    rows = [line.split() for line in said.splitlines()]
    assert ["knee", "60", "50", "49", "-1", "further"] in rows
    assert ["env_steps", "600,000", "900,000", "+300,000"] in rows
    ends = {line.index(word) + len(word) for line in said.splitlines()
            for word in ("+0.125", "+300,000", "+0.15") if word in line}  # fmt: skip
    assert len(ends) == 1
    assert [number(v) for v in (None, 2, 0.25, 1234567.0, True, "a")] == [
        "–", "2", "0.25", "1,234,567", "True", "a",
    ]  # fmt: skip
    assert [change(*p) for p in ((1, 1), (None, 1), (1, 0.5), ("a", "b"))] == ["=", "", "-0.5", ""]


def test_the_page_is_one_file_and_escapes(desk: Path) -> None:
    evil = FIRST.replace("PERIOD", '"<script>alert(1)</script>"\nPERIOD')
    (desk / "rewards/iter-01/selected.py").write_text(evil)
    text = page(compare(version("seed"), version("iter-01")))
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "src=" not in text and "href=" not in text and "url(" not in text
    assert "+ high" in text and "<td>0.625</td>" in text


def test_the_command(desk: Path) -> None:
    found = json.loads(reelward(desk, "diff", "iter-01", "--json", "--html", "out.html"))
    assert found["old"]["rev"] == "iter-00" and found["terms"]["fast"] == "formula"
    assert (desk / "out.html").read_text().startswith("<!doctype html>")
    said = reelward(desk, "diff", "HEAD~9", code=2)
    assert said.startswith("reelward: expected a git revision") and len(said.splitlines()) == 1
