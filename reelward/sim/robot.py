"""Robots by name: a robot is a folder NAME that holds a robot.yaml.

The YAML is data: a new robot touches no code. From it comes one list of named fields
(`robot.fields`), which is at once the contract of the state, the type table of the reward language
and the robot card that a model reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reelward.runtime.errors import InputError
from reelward.runtime.validation import nearest, read_yaml
from reelward.sim.complaints import complaints
from reelward.sim.gymnasium_robot import GymnasiumRobot
from reelward.sim.mjcf import Robot
from reelward.sim.schema import RobotError
from reelward.sim.soundness import unsound

_PACKAGE = Path(__file__).parents[1]
FOLDERS = (Path("robots"), _PACKAGE / "robots", _PACKAGE.parent / "robots")
"""where robots are looked for, in this order: beside the working directory's params.yaml, in the
installed package, beside the package in a clone"""


AnyRobot = Robot | GymnasiumRobot


def load_robot(name: str, *folders: Path) -> AnyRobot:
    """The robot NAME of the first of `folders` (by default FOLDERS) that has it. Raises RobotError
    with a line for each thing that is wrong."""
    searched = folders or FOLDERS
    path = next((p for f in searched if (p := f / name / "robot.yaml").is_file()), None)
    if path is None:
        raise RobotError(_unknown(name, searched))
    try:
        content = read_yaml(path)
    except InputError as e:
        raise RobotError(str(e)) from e
    try:
        lines = [f"{key}: unknown key" for key in ("name", "folder") if key in content]
        robot = robot_from(content | {"name": name, "folder": path.parent})
    except ValidationError as e:
        lines += complaints(e, GymnasiumRobot if "gymnasium" in content else Robot)
    if lines:
        raise RobotError("\n".join(f"{path}: {line}" for line in lines))
    if isinstance(robot, Robot) and (lines := unsound(robot)):
        raise robot.error(lines)
    robot.fields  # noqa: B018 - a bad environment is refused here, by name
    return robot


def robot_from(data: Mapping[str, Any]) -> AnyRobot:
    """The robot of a YAML's contents, with name and folder. Raises pydantic's ValidationError."""
    return GymnasiumRobot(**data) if "gymnasium" in data else Robot(**data)


def load_mjcf(name: str, *folders: Path) -> Robot:
    """As load_robot, for what needs joints and keypoints. Raises RobotError for other kinds."""
    robot = load_robot(name, *folders)
    if not isinstance(robot, Robot):
        raise RobotError(f"robot {name}: expected a robot with an MJCF, got {robot.gymnasium}")
    return robot


def _unknown(name: str, folders: Sequence[Path]) -> str:
    known = sorted({p.parent.name for f in folders for p in f.glob("*/robot.yaml")})
    near = nearest(name, known, "")
    return f"expected a robot among {', '.join(known)}, got {name!r}" + f"; {near}" * bool(near)
