"""A study that cannot be made changes nothing: no branch, no file, and not git's index."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import reelward, run, settle
from test_studies import at, branch, params

from reelward.cli import main
from reelward.studies import git
from reelward.studies.git import StudyError
from reelward.studies.settings import Choice
from reelward.studies.study import new

OWN = """\
def reward(s):
    return {"ahead": s.root_vel[:, 0].clamp(max=2.0)}
"""


@pytest.fixture
def here(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return at(desk, monkeypatch)


def state(folder: Path) -> dict[str, str]:
    """All that `new` could change."""
    return {
        "head": (folder / ".git/HEAD").read_text(),
        "refs": run(folder, "git", "for-each-ref"),
        "index": run(folder, "git", "ls-files", "--stage"),
        "status": run(folder, "git", "status", "--porcelain", "--untracked-files=all"),
        "settings": (folder / "params.yaml").read_text(),
    }


def refused(folder: Path, complaint: str, name: str = "walk", **choice: str) -> None:
    before = state(folder)
    with pytest.raises(StudyError, match=complaint) as error:
        new(name, Choice(**choice))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert state(folder) == before


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a..b", "; for example a-b"),
        ("x.lock", "; for example x-lock"),
        ("UPPER", "; for example upper"),
        ("my walk", "; for example my-walk"),
        ("-x", "; for example x"),
        ("läufer", "; for example laufer"),
        ("a/b", "; for example a-b"),
        ("x.", "; for example x"),
        ("a\nb", "; for example a-b"),
        ("x" * 61, "; for example x"),
        ("歩く", ""),
        ("", ""),
    ],
)
def test_a_bad_name_is_refused_with_one_that_works(
    house: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.chdir(house)
    refused(house, f"name: expected up to 60 of a-z.*, got .*{re.escape(hint)}", name)


def test_a_study_made_inside_another_begins_from_main_alone(here: Path) -> None:
    """`main` has moved on, and the folder has a staged and an untracked file."""
    new("first", Choice())
    run(here, "git", "switch", "--quiet", "main")
    (here / "prompts/author.md").write_text("mended")
    run(here, "git", "commit", "--quiet", "--all", "--message", "Mend a prompt")
    run(here, "git", "switch", "--quiet", "study/first")
    (here / "notes.env").write_text("KEY=1")
    (here / "note.txt").write_text("mine")
    run(here, "git", "add", "notes.env")
    new("second", Choice())
    assert run(here, "git", "diff", "main", "study/second") == ""
    assert (here / "prompts/author.md").read_text() == "mended"
    status = run(here, "git", "status", "--porcelain")
    assert status.splitlines() == ["A  notes.env", "?? note.txt"]


def test_a_misspelt_name_is_answered_with_the_nearest_before_anything_else(here: Path) -> None:
    new("walk", Choice())
    (here / "params.yaml").write_text("edited\n")  # a reason to refuse that comes later
    run(here, "git", "switch", "--quiet", "--force", "main")
    (here / "dvc.lock").write_text("a result that belongs to no study\n")
    refused(
        here, "robot: expected one of ant, .*, got hoper; did you mean hopper", "x", robot="hoper"
    )
    refused(here, "preset: expected .* got ant_cpu; did you mean ant-cpu", "x", preset="ant_cpu")
    refused(here, "study walk exists; enter it: reelward open walk")
    before = state(here)
    with pytest.raises(StudyError, match=r"no study wlk; did you mean walk\?"):
        new("x", Choice(), "wlk")
    with pytest.raises(StudyError, match="no study zzz; list them: reelward list"):
        new("x", Choice(), "zzz")
    assert state(here) == before


@pytest.mark.parametrize(
    "text", ["a\nb", "a\x7fb", "a\u2028b", "a\x1b[31m", "", " ", "-x", "\udc80"]
)
@pytest.mark.parametrize("what", ["task", "author", "critic", "video"])
def test_what_reaches_a_command_line_is_one_plain_line(
    house: Path, monkeypatch: pytest.MonkeyPatch, what: str, text: str
) -> None:
    monkeypatch.chdir(house)
    with pytest.raises(StudyError, match=f"{what}: expected"):
        new("walk", Choice(**{what: text}))  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="critic: expected a model's name"):
        new("walk", Choice(critic="x'; touch f; echo '"))


def unborn_branch_name_is_taken(folder: Path) -> None:
    run(folder, "git", "branch", "study")


def locked_index(folder: Path) -> None:
    (folder / ".git/index.lock").touch()


def object_store_cannot_be_written(folder: Path) -> None:
    objects = folder / ".git/objects"
    objects.rename(folder / ".git/kept")
    (folder / ".git/alternates").touch()
    objects.mkdir()
    (objects / "info").mkdir()
    (objects / "info/alternates").write_text(f"{folder}/.git/kept\n")
    for i in range(256):
        (objects / f"{i:02x}").touch()  # a file where git needs a folder


def another_edit_is_in_the_way(folder: Path) -> None:
    new("other", Choice())
    run(folder, "git", "switch", "--quiet", "main")
    (folder / "LICENSE").write_text("newer\n")
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Newer")
    run(folder, "git", "switch", "--quiet", "study/other")
    (folder / "LICENSE").write_text("edited, not committed\n")


@pytest.mark.parametrize(
    ("condition", "complaint"),
    [
        (unborn_branch_name_is_taken, "git branch: .*refs/heads/study"),
        (locked_index, "index.lock"),
        (object_store_cannot_be_written, "git .*: "),
        (another_edit_is_in_the_way, "LICENSE"),
    ],
)
def test_a_failure_of_git_changes_nothing(
    here: Path, condition: Callable[[Path], None], complaint: str
) -> None:
    condition(here)
    (here / "rewards/mine.py").write_text("mine\n") if branch(here) == "main" else None
    refused(here, complaint)


def test_uncommitted_settings_of_main_go_into_the_study(here: Path) -> None:
    settle(here, {"keyframes.stature": 1.9})
    run(here, "git", "add", "params.yaml")
    settle(here, {"keyframes.stature": 1.8})
    (here / "rewards/mine.py").write_text("mine\n")
    (here / "rewards/seed/history.csv").unlink()
    (here / "LICENSE").write_text("edited\n")
    locked_index(here)
    refused(here, "index.lock")
    (here / ".git/index.lock").unlink()
    new("walk", Choice(task="go"))
    assert (params(here)["keyframes"]["stature"], params(here)["task"]) == (1.8, "go")
    assert run(here, "git", "status", "--porcelain") == " M LICENSE\n"
    assert (here / "rewards/mine.py").read_text() == "mine\n"
    assert not (here / "rewards/seed/history.csv").exists()
    run(here, "git", "switch", "--quiet", "-")
    assert branch(here) == "main" and not (here / "rewards/mine.py").exists()


def test_a_signature_that_fails_is_left_out(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(here, "git", "config", "commit.gpgsign", "true")
    run(here, "git", "config", "gpg.program", "false")
    new("signed", Choice())
    assert branch(here) == "study/signed"
    assert run(here, "git", "log", "-1", "--format=%s") == "Begin study signed\n"
    assert run(here, "git", "status", "--porcelain") == ""
    assert "the commit is not signed" in capsys.readouterr().err


def test_no_hook_stops_a_new_study(here: Path) -> None:
    for hook in ("pre-commit", "commit-msg", "post-checkout", "reference-transaction"):
        path = here / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    new("walk", Choice())
    assert branch(here) == "study/walk" and run(here, "git", "status", "--porcelain") == ""


def test_no_hook_stops_the_commit_of_an_iteration(here: Path) -> None:
    new("walk", Choice())
    hook = here / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    Path("loop.yaml").write_text("iterations: {}\n")
    assert git.commit(["loop.yaml"], "An iteration") and not git.changed("loop.yaml")


def test_git_that_fails_without_a_word_is_named_with_its_exit_code(here: Path) -> None:
    with pytest.raises(git.StudyError, match="^git diff: exit code 1 without a word$"):
        git.git(*git.NO_HOOKS, "diff", "--quiet", "--no-index", "params.yaml", "loop.yaml")


def test_a_study_begins_on_a_detached_head_in_a_worktree_and_in_a_shallow_clone(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(here, "git", "switch", "--quiet", "--detach")
    new("detached", Choice())
    run(here, "git", "switch", "--quiet", "main")
    run(here, "git", "worktree", "add", "--quiet", str(tmp_path / "tree"), "study/detached")
    monkeypatch.chdir(tmp_path / "tree")  # main is checked out elsewhere
    new("inside", Choice(robot="hopper"))
    assert params(tmp_path / "tree")["robot"] == "hopper"
    shallow = tmp_path / "shallow"
    run(here, "git", "clone", "--quiet", "--depth=1", "--branch=study/detached", f"file://{here}", str(shallow))  # fmt: skip
    monkeypatch.chdir(shallow)
    with pytest.raises(StudyError, match="begins from the branch main.*make it: git fetch origin"):
        new("far", Choice())
    run(shallow, "git", "fetch", "--quiet", "--depth=1", "origin", "main:main")
    new("far", Choice())
    assert run(shallow, "git", "log", "-2", "--format=%s") == "Begin study far\nThe house\n"


def test_results_that_belong_to_no_study_stay(here: Path) -> None:
    (here / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    (here / "rewards/iter-00").mkdir()
    (here / "rewards/iter-00/selected.py").write_text(OWN)
    new("walk", Choice())
    assert (here / "dvc.lock").exists() and (here / "rewards/iter-00/selected.py").exists()
    assert run(here, "git", "status", "--porcelain") == "?? dvc.lock\n?? rewards/iter-00/\n"
    refused(here, "dvc.lock, rewards/iter-00/selected.py are not committed to study/walk; commit "
            "first: git add dvc.lock rewards && git commit -m results", "other")  # fmt: skip


def test_changed_results_of_main_are_never_committed_there(here: Path) -> None:
    (here / "metrics.json").write_text("{}\n")
    run(here, "git", "add", "metrics.json")
    refused(here, "metrics.json is changed here, where no results belong; drop the change: "
            "git restore --staged --worktree metrics.json")  # fmt: skip


def test_every_command_says_the_same_outside_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    messages = set()
    for words in ("new x", "open x", "list", "extend", "plan", "diff HEAD"):
        monkeypatch.setattr("sys.argv", ["reelward", *words.split()])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        messages.add(capsys.readouterr().err)
    assert len(messages) == 1 and "expected the top folder of a clone" in messages.pop()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "params.yaml: expected keys and values, got null"),
        ("robot: [\n", "params.yaml is no YAML"),
        ("robot: biped\nrobot: ant\n", "params.yaml is no YAML: .*duplicate"),
        ("robot:\tant\n", "params.yaml"),
        ("robot: biped\n", "params.yaml has no critique.file"),
        ("robot: biped\ntrain: 5\ncritique: {file: x}\n", "params.yaml has no train.device"),
    ],
)
def test_settings_that_cannot_be_read_are_one_line(
    house: Path, monkeypatch: pytest.MonkeyPatch, text: str, complaint: str
) -> None:
    monkeypatch.chdir(house)
    before = (house / "params.yaml").read_text()
    try:
        (house / "params.yaml").write_text(text)
        robot = "ant" if "train" in text else "biped"
        refused(house, complaint, robot="biped" if not text.strip() else robot)
    finally:
        (house / "params.yaml").write_text(before)


# --- the reward to start from


def test_a_study_starts_from_a_reward_of_ones_own_that_fits(here: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(OWN.replace("root_vel", "root_pace"))
    before = state(here)
    with pytest.raises(StudyError, match=r"reward: .*mine.py:2: .*root_pace.*reelward check"):
        new("walk", Choice(), reward=mine)
    assert state(here) == before
    mine.write_text(OWN)
    new("walk", Choice(), reward=mine)
    assert (here / "rewards/seed/selected.py").read_text() == OWN
    assert run(here, "git", "status", "--porcelain") == ""


def test_a_robot_without_a_preset_brings_no_symmetry_that_it_cannot_have(here: Path) -> None:
    (here / "robots/spider").mkdir()
    text = (here / "robots/ant/robot.yaml").read_text()
    (here / "robots/spider/robot.yaml").write_text(text)
    new("walk", Choice(robot="spider"))
    assert params(here)["train"]["symmetric"] is False
    assert yaml.safe_load(run(here, "git", "show", "main:params.yaml"))["train"]["symmetric"]


def test_the_command_names_options_and_files(here: Path, tmp_path: Path) -> None:
    assert "--robot" in reelward(here, "new", "walk", "--robt", "ant", code=2)
    output = reelward(here, "new", "walk", "--reward", str(tmp_path / "gone.py"), code=2)
    assert "gone.py: No such file" in output
    begun = reelward(here, "new", "walk")
    assert "next: dvc repro keyframes, look at data/expert/keyframes/followed.jpg, then" in begun
