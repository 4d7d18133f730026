"""The whole pipeline, tiny, with real DVC: what runs again, and that kills leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from conftest import DEADLINE, all_end, dvc, environment, ran, reelward, run, settle, until

ONE = {"propose", "rewards", "train", "rollout", "film", "critique", "select"}
"""the stages of an iteration"""


def status(folder: Path) -> dict:
    return json.loads(dvc(folder, "status", "--json"))


def test_a_finished_study_is_whole_and_runs_nothing(mine: Path) -> None:
    assert ran(dvc(mine, "repro")) == []
    assert status(mine) == {}
    assert json.loads(reelward(mine, "plan", "--json")) == []
    assert run(mine, "git", "status", "--porcelain") == ""
    for sums in mine.glob("data/**/SHA256SUMS"):
        run(sums.parent, "sha256sum", "--check", "--quiet", "SHA256SUMS")
    metrics = json.loads((mine / "metrics.json").read_text())
    history = (mine / "rewards/history.csv").read_text().splitlines()
    assert metrics["iteration"] == "iter-00" and len(history) == 2
    assert (mine / "report/index.html").stat().st_size > 1000
    for name in ("policy.pt", "sheet.jpg", "motion.json"):
        assert (mine / "data/best" / name).read_bytes() == (
            mine / "data/iterations/iter-00/best" / name
        ).read_bytes()


def test_growing_by_one_runs_that_iteration_alone(mine: Path) -> None:
    reelward(mine, "extend")
    planned = json.loads(reelward(mine, "plan", "--json"))
    stages = [s["stage"] for s in planned]
    assert {*stages} == {f"{name}@iter-01" for name in ONE} | {"check", "publish", "report"}
    assert stages[:2] == ["check", "propose@iter-01"] and stages[-1] == "report"
    assert ran(dvc(mine, "repro", "--dry", "propose@iter-01")) == ["check", "propose@iter-01"]
    assert "train@iter-01" in dvc(mine, "dag", "--mermaid")


def test_a_critique_setting_judges_again_and_trains_nothing(mine: Path) -> None:
    policies = run(mine, "sha256sum", "data/iterations/iter-00/policies/SHA256SUMS")
    settle(mine, {"critique.noise": 0.04})
    planned = {s["stage"]: s for s in json.loads(reelward(mine, "plan", "--json"))}
    assert planned["critique@iter-00"]["why"] == ["critique.noise 0.03 -> 0.04"]
    assert "train@iter-00" not in planned
    stages = ran(dvc(mine, "repro"))
    assert stages[:2] == ["check", "critique@iter-00"]
    assert set(stages[2:]) <= {"select@iter-00", "publish", "report"}
    assert policies == run(mine, "sha256sum", "data/iterations/iter-00/policies/SHA256SUMS")
    settle(mine, {"critique.noise": 0.03})
    back = dvc(mine, "repro")
    assert "Stage 'critique@iter-00' is cached - skipping run" in back
    assert run(mine, "git", "status", "--porcelain") == ""


def test_wrong_settings_are_refused_before_any_work(mine: Path) -> None:
    settle(mine, {"train.gamma": 1.5})
    output = dvc(mine, "repro", code=255)
    assert "params.yaml: train.gamma = 1.5: expected a number between 0 and 1" in output
    assert ran(output) == ["check"]
    run(mine, "git", "checkout", "--quiet", "params.yaml")
    assert set(ran(dvc(mine, "repro"))) <= {"check"}


def test_a_fresh_clone_has_nothing_to_do(mine: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "--quiet", str(mine), "clone")
    output = dvc(tmp_path / "clone", "repro", "--allow-missing")
    assert ran(output) == []


def test_another_machine_goes_on_with_what_it_needs(mine: Path, tmp_path: Path) -> None:
    share = str(tmp_path / "share")
    dvc(mine, "remote", "add", "--quiet", "--default", "share", share)
    run(mine, "git", "commit", "--quiet", "--all", "--message", "A remote")
    dvc(mine, "push", "--quiet", "--run-cache")
    run(tmp_path, "git", "clone", "--quiet", str(mine), "clone")
    clone = tmp_path / "clone"
    assert ran(dvc(clone, "repro", "--pull", "--allow-missing")) == []
    assert not (clone / "data").exists()

    reelward(clone, "extend")
    output = dvc(clone, "repro", "--pull", "--allow-missing", "propose@iter-01")
    assert ran(output) == ["check", "propose@iter-01"]
    assert (clone / "data/iterations/iter-00/best/sheet.jpg").is_file()
    assert not (clone / "data/iterations/iter-00/policies").exists()

    # Other stages read the whole folder, and DVC brings nothing of the rest of one that is partly there.
    dvc(clone, "pull", "--quiet", "--allow-missing")
    assert (clone / "data/iterations/iter-00/best/motion.json").is_file()
    shutil.rmtree(clone / "data/iterations/iter-01")
    run(clone, "git", "checkout", "--quiet", "loop.yaml", "dvc.lock")
    assert ran(dvc(clone, "repro", "--pull", "--allow-missing")) == []
    assert status(clone) == {}


def writers(folder: Path) -> list[psutil.Process]:
    """Processes of the train stage at work in `folder`: the stage itself, not its workers."""
    stages = []
    for p in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if p.cmdline()[1:3] == ["-m", "stages.train"] and p.cwd() == str(folder):
                stages.append(p)
    return stages


def checkpoints(folder: Path) -> set[str]:
    return {str(p) for p in (folder / "scratch/checkpoints").glob("*/[0-9]*")}


@contextmanager
def training(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`dvc repro` in a session of its own, a checkpoint into the training."""
    process = subprocess.Popen(
        (sys.executable, "-m", "dvc", "repro"), cwd=folder, start_new_session=True,
        env=environment(REELWARD_CHECKPOINT_S="0.2"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        before = checkpoints(folder)
        assert until(lambda: checkpoints(folder) - before or process.poll() is not None)
        assert process.poll() is None, "the training ended too soon"
        assert len(writers(folder)) == 1
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_kills_need_no_cleaning_up_and_never_make_two_writers(mine: Path) -> None:
    settle(mine, {"train.env_steps": 50_000})

    with training(mine) as process:
        (stage,) = writers(mine)
        below = stage.children(recursive=True)
        process.kill()
        process.wait()
        assert all_end([stage, *below]), "dvc was killed and its stage went on"
    with training(mine) as process:
        (stage,) = writers(mine)
        below = stage.children(recursive=True)
        stage.kill()
        assert process.wait(DEADLINE) == 255
        assert all_end(below), "the stage was killed and its workers went on"
    output = dvc(mine, "repro")
    assert ran(output)[0] == "train@iter-00"
    assert status(mine) == {}
    assert not [p for top in ("data", "rewards") for p in (mine / top).rglob(".*.tmp-*")]
    for sums in mine.glob("data/**/SHA256SUMS"):
        run(sums.parent, "sha256sum", "--check", "--quiet", "SHA256SUMS")
    curve = (mine / "data/iterations/iter-00/policies/c0.csv").read_text().splitlines()
    assert float(curve[-1].split(",")[0]) == pytest.approx(50_000, rel=0.05)
