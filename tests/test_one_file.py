"""A descriptor, a robot and a preset are each added by one file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from conftest import reelward, run

DESCRIPTOR = """

DESCRIPTORS += (
    Spec(
        name="hip_low",
        unit="leg lengths",
        meaning="lowest height of the hip over the lowest sole",
        measure=lambda v, a, b: float(v.hip_height[a:b].min()) / v.scale.leg,
        tolerance=0.1,
        weight=1.0,
        too_small="the hip sinks too low",
        too_large="the hip never sinks",
    ),
)
"""

USES_IT = """
from skeleton import walker
from reelward.measures import load
from reelward.records import MeasureKind
"""


def python(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{folder}:{folder / 'tests'}", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_robot_is_one_file(desk: Path) -> None:
    robot = yaml.safe_load((desk / "robots/hopper/robot.yaml").read_text())
    robot["episode_s"] = 3.0
    (desk / "robots/pogo").mkdir()
    (desk / "robots/pogo/robot.yaml").write_text(yaml.safe_dump(robot))
    assert "joint_pos" in reelward(desk, "fields", "pogo")
    run(desk, "git", "add", "--all")
    run(desk, "git", "commit", "--quiet", "--message", "Add a robot")
    reelward(desk, "new", "jump", "--robot", "pogo")
    assert yaml.safe_load((desk / "params.yaml").read_text())["robot"] == "pogo"


def test_a_preset_is_one_file(desk: Path) -> None:
    (desk / "presets/slow.yaml").write_text("robot: hopper\ntrain: {gamma: 0.9, hidden: 32}\n")
    run(desk, "git", "add", "--all")
    run(desk, "git", "commit", "--quiet", "--message", "Add a preset")
    reelward(desk, "new", "jump", "--preset", "slow")
    params = yaml.safe_load((desk / "params.yaml").read_text())
    assert params["robot"] == "hopper" and params["train"]["gamma"] == 0.9
