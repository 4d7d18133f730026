"""The JSON files of a motion: motion.json (expert and learner alike), tiles.json and shots.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from reelward.motion.course import Course
from reelward.motion.cycle import Period
from reelward.records import Record


@dataclass(frozen=True)
class Descriptor:
    """A measured figure with unit and uncertainty (same unit), and whether it may be used."""

    value: float | None
    unit: str
    uncertainty: float
    usable: bool
    why: str = ""
    """why it may not be used"""


@dataclass(frozen=True)
class Motion:
    """One motion in figures."""

    subject: str
    """person, silhouette, robot:NAME or none"""
    fps: float
    seconds: float
    time_scale: float | None
    """seconds of the world per second of the video, None if unknown"""
    leg_length_m: float | None
    period: Annotated[Period | None, Field(alias="period_s")]
    descriptors: dict[str, Descriptor]
    keypoints: tuple[str, ...] = ()
    """names of the points that were followed, empty for a silhouette"""
    duplicates_dropped: int = 0
    survival: float = 1.0
    """mean fraction of the episode that a robot lived"""
    notes: tuple[str, ...] = ()
    courses: dict[str, Course] = field(default_factory=dict)
    """by leg, for the legs that were measured"""


class KeyframeRow(Record):
    """A line of tiles.json: which frame of the video a tile of the contact sheet shows."""

    tile: int
    frame: int
    time_s: float
    phase: float | None
    """of the gait cycle, from 0 to 1; None without a cycle"""
    flipped: bool
    """whether the tile is the picture mirrored left to right"""


class ShotRow(Record):
    """A line of shots.json: one shot of the video, and how well it shows a motion."""

    shot: int
    chosen: bool
    kind: str
    """person, silhouette or none"""
    score: float
    parts: dict[str, float]
    """the factors of the score"""
    first: int
    last: int
    start: float
    stop: float


MOTION = TypeAdapter(Motion)


def to_json(motion: Motion) -> dict[str, object]:
    """The contents of motion.json, floats rounded to six significant digits."""
    plain: dict[str, object] = _rounded(MOTION.dump_python(motion, mode="json", by_alias=True))
    return plain


def from_json(plain: object) -> Motion:
    """The motion of `to_json`. Raises ValueError in one line where a field is missing or wrong."""
    try:
        return MOTION.validate_python(plain)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"expected a motion.json of this version: {where}: {first['msg']}"
        ) from None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
