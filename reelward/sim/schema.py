"""What the YAML files of all kinds of robots share."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat


class RobotError(ValueError):
    """A robot that does not exist, or whose YAML, MJCF or environment is not usable: a line for
    each thing that is wrong with it."""


class Strict(BaseModel):
    """Data from YAML: read-only; an unknown key and a number that is not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BaseRobot(Strict):
    """A robot of any kind."""

    name: str
    folder: Path
    """the folder that holds its robot.yaml"""
    episode_s: PositiveFloat
    """time limit (s): it truncates an episode and does not count as a fall"""

    @property
    def mirrors(self) -> bool:
        """One policy can serve right and left."""
        return False
