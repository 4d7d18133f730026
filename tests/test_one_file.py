"""A descriptor, a robot and a preset are each added by one file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from conftest import reelward, run

RECORD = """    Spec(
        "nod", "degrees", "range of the line from hip to head",
        over=lambda v, a, b: float(np.ptp(limb(v.track, "head", "hip")[a:b])),
        keypoints=lambda names: {"head", "hip"} <= set(names),
        weight=0.5, tolerance=2.0, too_small="the head is too still", too_large="the head nods",
        term="upright",
    ),
)  # fmt: skip
"""

USES = """
from skeleton import LEG, walker
from reelward.critics.measured import headings
from reelward.loop import history
from reelward.measures import load
from reelward.measures.describe import robot_motion
from reelward.motion.record import from_json, to_json
from reelward.records import Critique, Feedback

expert, learner = (robot_motion(walker(sway=s), "biped", LEG, 1.0) for s in (4.0, 5.0))
comparison = load("gait").compare(from_json(to_json(expert)), learner)
(row,) = (row for row in comparison.rows if row.name == "nod")
assert abs(row.expert - 4.0) < 0.1 and abs(row.off - 0.5) < 0.1, row
assert "the head nods" in headings(comparison, ())["wrong"]
critique = Critique(**dict(comparison), verdict="same", measured_verdict="same")
lines = history("", Feedback(critique=critique), "c0", list(load("gait").figures)).splitlines()
assert lines[0].endswith(",nod") and lines[1].split(",")[-1] == str(row.learner), lines
"""


def test_a_descriptor_is_one_file(desk: Path) -> None:
    """The trunk sways by 4 degrees in the expert and by 5 in the learner, and the head with it."""
    path = desk / "reelward/measures/descriptors.py"
    head, tail = path.read_text().split(")  # fmt: skip\n", 1)
    lines = head.replace("import lag, level, slope", "import lag, level, limb, slope")
    path.write_text(lines + RECORD + tail)
    for command in (["-c", USES], ["-m", "reelward.measures"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=desk, capture_output=True, text=True, check=False,
            env={"PYTHONPATH": f"{desk}:{desk / 'tests'}", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "nod" in done.stdout


def test_a_robot_is_one_file(desk: Path) -> None:
    robot = yaml.safe_load((desk / "robots/hopper/robot.yaml").read_text())
    robot["episode_s"] = 3.0
    (desk / "robots/pogo").mkdir()
    (desk / "robots/pogo/robot.yaml").write_text(yaml.safe_dump(robot))
    assert "joint_pos" in reelward(desk, "fields", "--robot", "pogo")
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
