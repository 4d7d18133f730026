"""motion.json: what was measured of one motion, expert's and learner's in the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reelward.motion.course import Course
from reelward.motion.cycle import Period


@dataclass(frozen=True)
class Descriptor:
    """A measured figure with unit and uncertainty (same unit), and whether it may be used."""

    value: float | None
    unit: str
    uncertainty: float
    usable: bool
    why: str = ""


@dataclass(frozen=True)
class Motion:
    """One motion in numbers. `subject`: person, silhouette or robot:NAME. `time_scale`: seconds of
    the world a second of the video, None if unknown. `keypoints`: names of the points that were
    followed, empty for a silhouette. `courses`: those of the legs that are believed."""

    subject: str
    fps: float
    seconds: float
    time_scale: float | None
    leg_length_m: float | None
    period: Period | None
    descriptors: dict[str, Descriptor]
    keypoints: tuple[str, ...] = ()
    duplicates_dropped: int = 0
    survival: float = 1.0
    notes: tuple[str, ...] = ()
    courses: dict[str, Course] = field(default_factory=dict)


def to_json(motion: Motion) -> dict[str, Any]:
    """Plain values in the order of motion.json, rounded to six digits that mean something."""
    p = motion.period
    plain = {
        "subject": motion.subject,
        "fps": motion.fps,
        "seconds": motion.seconds,
        "time_scale": motion.time_scale,
        "leg_length_m": motion.leg_length_m,
        "period_s": asdict(p) if p else None,
        "duplicates_dropped": motion.duplicates_dropped,
        "survival": motion.survival,
        "keypoints": list(motion.keypoints),
        "notes": list(motion.notes),
        "descriptors": {n: asdict(d) for n, d in motion.descriptors.items()},
        "courses": {leg: asdict(c) for leg, c in motion.courses.items()},
    }
    return _rounded(plain)


def from_json(plain: Mapping[str, Any]) -> Motion:
    """The motion of `to_json`. Raises ValueError in one line where a field is missing or strange."""
    try:
        p = plain["period_s"]
        return Motion(
            subject=plain["subject"],
            fps=plain["fps"],
            seconds=plain["seconds"],
            time_scale=plain["time_scale"],
            leg_length_m=plain["leg_length_m"],
            period=Period(**p) if p else None,
            descriptors={n: Descriptor(**d) for n, d in plain["descriptors"].items()},
            keypoints=tuple(plain["keypoints"]),
            duplicates_dropped=plain["duplicates_dropped"],
            survival=plain["survival"],
            notes=tuple(plain["notes"]),
            courses={
                leg: Course(
                    c["landing"], c["duty"], *(tuple(c[k]) for k in ("thigh", "knee", "hip"))
                )
                for leg, c in plain["courses"].items()
            },
        )
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"expected a motion.json of this version, {type(e).__name__}: {e}") from e


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value
