"""What a change makes run: a stage's deps name what decides its result, and nothing else."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import pytest
from conftest import dvc, ran, settle

from reelward.studies.plan import plan


def planned(folder: Path) -> dict[str, bool]:
    """The stages that the next repro would run, and whether for certain."""
    with chdir(folder):
        return {step.stage: step.certain for step in plan()}


def trainings(steps: dict[str, bool]) -> dict[str, bool]:
    return {name: certain for name, certain in steps.items() if name.startswith("train@")}


def touch(folder: Path, name: str) -> None:
    path = folder / name
    path.write_text(path.read_text() + "\n# a comment\n")


@pytest.mark.parametrize(
    "name",
    [
        "reelward/runtime/progress.py", "reelward/runtime/locks.py", "reelward/records.py",
        "reelward/cli.py", "reelward/studies/plan.py", "flows/learn.py", "README.md",
    ],
)  # fmt: skip
def test_plumbing_runs_nothing(mine: Path, name: str) -> None:
    touch(mine, name)
    assert set(planned(mine)) <= {"check"}


def test_the_length_of_a_film_draws_films_only(mine: Path) -> None:
    settle(mine, {"film.seconds": 0.4})
    steps = planned(mine)
    assert {"film@iter-00", "film_seed", "publish", "report"} <= set(steps)
    assert set(steps) <= {"check", "film@iter-00", "film_seed", "publish", "report"}


@pytest.mark.parametrize(
    "name", ["reelward/authors/reference.py", "reelward/render.py", "reelward/film.py",
             "reelward/measures/gait.py", "reelward/loop.py", "stages/report.html"],
)  # fmt: skip
def test_what_no_training_reads_retrains_nobody_for_certain(mine: Path, name: str) -> None:
    touch(mine, name)
    steps = planned(mine)
    assert steps and not any(trainings(steps).values())


@pytest.mark.parametrize(
    "name", ["reelward/language/stdlib/terms.py", "reelward/sim/env.py", "stages/train.py"]
)
def test_what_decides_a_training_trains_again(mine: Path, name: str) -> None:
    touch(mine, name)
    assert trainings(planned(mine)) == {"train@iter-00": True}


def test_a_changed_renderer_draws_again_and_trains_nobody(mine: Path) -> None:
    touch(mine, "reelward/render.py")
    steps = planned(mine)
    assert steps["rollout@iter-00"] and steps["film@iter-00"]
    # The untrained policy, which the training reads, is made again and comes out the same.
    assert {*ran(dvc(mine, "repro", "train@iter-00"))} == {"seed"}
