"""The sections of the robot.yaml of a robot that has an MJCF."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, NonNegativeFloat, PositiveFloat
from pydantic import Field as Key

from reelward.sim.schema import Strict


def _rising(values: tuple[float, float]) -> tuple[float, float]:
    low, high = values
    if low >= high:
        raise ValueError(f"expected the lower number first, got [{low:g}, {high:g}]")
    return values


Range = Annotated[tuple[float, float], AfterValidator(_rising)]
"""lower and upper end"""
Place = Annotated[tuple[str, float, float, float], Key(description="a list [body, x, y, z]")]
"""a body of the MJCF, and the position in its frame (m)"""
Names = Annotated[tuple[str, ...], Key(min_length=1, description="a list of at least one name")]


class Foot(Strict):
    """A sole: keypoints on it, the radius of the geom around them (m), the geoms that touch."""

    points: Names
    radius: NonNegativeFloat
    geoms: Names


class Healthy(Strict):
    """An episode goes on while the root's height (m) and pitch (rad) lie inside; `state_limit`
    bounds every joint coordinate and velocity."""

    height: Range | None = None
    pitch: Range | None = None
    state_limit: PositiveFloat | None = None


class Stance(Strict):
    """A start posture: gait phase (cycles) and joint angles (rad)."""

    phase: Annotated[float, Key(ge=0, lt=1)]
    joints: dict[str, float]


class Reset(Strict):
    """Start states: noise around the model's posture, or around one of several stances, in which
    case the lower sole is put on the ground."""

    keyframe: str | None = None
    """of the MJCF: its posture in place of the model's"""
    qpos_uniform: NonNegativeFloat = 0.0
    qvel_uniform: NonNegativeFloat = 0.0
    qvel_normal: NonNegativeFloat = 0.0
    forward: tuple[float, float] = (0.0, 0.0)
    stances: tuple[Stance, ...] = ()


class Camera(Strict):
    """The side camera: distance to the root and height of the point it looks at (m). It steps
    further back where a picture would cut the robot off."""

    distance: PositiveFloat
    height: float


class Torques(Strict):
    """An action is a fraction of each actuator's range, as the MJCF has it."""

    kind: Literal["torques"] = "torques"


class Targets(Strict):
    """An action moves a target around a default pose, which position actuators follow."""

    kind: Literal["targets"]
    default: dict[str, float] = {}
    """pose of the action zero: joint angles (rad); a joint that is not named stays at the model's"""
    scale: PositiveFloat
    """distance of the target at an action of 1 (rad)"""
    kp: PositiveFloat
    """stiffness (N m/rad)"""
    kd: NonNegativeFloat
    """damping (N m s/rad)"""


def mirrored(name: str) -> str:
    """`right_knee` <-> `left_knee`; other names stay as they are."""
    side, _, rest = name.partition("_")
    other = {"right": "left", "left": "right"}.get(side)
    return f"{other}_{rest}" if other else name
