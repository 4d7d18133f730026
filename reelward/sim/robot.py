"""Robots by name: a robot is a folder NAME that holds a robot.yaml.

The YAML is data: a new robot touches no code. From it comes one list of named fields
(`robot.fields`), which is at once the contract of the state, the type table of the reward language
and the robot card that a model reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from reelward.sim.mjcf import Robot
from reelward.sim.schema import RobotError

_PACKAGE = Path(__file__).parents[1]
FOLDERS = (Path("robots"), _PACKAGE / "robots", _PACKAGE.parent / "robots")
"""where robots are looked for, in this order: beside the working directory's params.yaml, in the
installed package, beside the package in a clone"""


def load_robot(name: str, *folders: Path) -> Robot:
    """The robot NAME of the first of `folders` (by default FOLDERS) that has it. Raises RobotError
    in one line."""
    searched = folders or FOLDERS
    path = next((p for f in searched if (p := f / name / "robot.yaml").is_file()), None)
    if path is None:
        raise RobotError(_unknown(name, searched))
    try:
        robot = Robot(name=name, folder=path.parent, **yaml.safe_load(path.read_text()))
        robot.mj_model  # noqa: B018 - compiled at the door, so that a bad MJCF is named here
        return robot
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RobotError(f"{path}: {where}: {first['msg']}") from e
    except (yaml.YAMLError, TypeError) as e:
        raise RobotError(f"{path}: expected a mapping in YAML: {e}") from e


def _unknown(name: str, folders: Sequence[Path]) -> str:
    known = sorted({p.parent.name for f in folders for p in f.glob("*/robot.yaml")})
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"expected a robot among {', '.join(known)}, got {name!r}{hint}"
