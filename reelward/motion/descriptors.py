"""Descriptors: what of a motion can be said in numbers, the same code for expert and learner.

Lengths are in leg lengths L, speed is the Froude number v / sqrt(g L), frequency f sqrt(L / g)
(Alexander, "Optimization and gaits in the locomotion of vertebrates", 1989): so a person and a robot
of another size compare. Nothing here is assumed of the gait; what cannot be measured is returned
unusable, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from reelward.motion.cycle import Period, gait_period
from reelward.motion.signals import flexion, lag, level, limb, slope, sole, standing, thigh, trunk
from reelward.motion.track import Track

GRAVITY = 9.81
UPRIGHT = 0.95
"""mean height of the hip of who walks upright, in leg lengths"""
GROUNDED = 0.8
"""share of the time that a foot must stand for the hip's height to be known"""

UNITS = {
    "speed": "Froude number v/sqrt(g L)",
    "cadence": "stride frequency x sqrt(L/g)",
    "step": "leg lengths",
    "bob": "leg lengths",
    "height": "leg lengths",
    "knee": "degrees",
    "thigh": "degrees",
    "duty": "fraction of the cycle",
    "airborne": "fraction of the time",
    "lag": "cycles",
    "lean": "degrees",
    "sway": "degrees",
    "duty_skew": "fraction of the cycle",
    "knee_skew": "degrees",
    "thigh_skew": "degrees",
}
SKEWS = ("duty_skew", "knee_skew", "thigh_skew")
"""by how much the right leg's figure is above the mean of both, and the left one's below: of a limp"""


@dataclass(frozen=True)
class Descriptor:
    """A measured figure with unit and uncertainty (same unit), and whether it may be used."""

    value: float | None
    unit: str
    uncertainty: float
    usable: bool
    why: str = ""


@dataclass(frozen=True)
class Scale:
    """What turns a track into lengths and times.

    `leg`: leg length in the track's unit. `metres`: the same in metres. `leg_error` and `error`:
    relative uncertainties of the two. `time`: seconds of the world a second of the track, None if
    unknown. `sole`: how far the ground is below the feet's points, in the track's unit.
    """

    leg: float
    metres: float
    leg_error: float = 0.0
    error: float = 0.0
    time: float | None = 1.0
    sole: float = 0.0


def measurable(names: Collection[str]) -> frozenset[str]:
    """The descriptors that a body with these keypoints could give in principle."""
    legs = [n[: -len("_ankle")] for n in names if n.endswith("_ankle")]
    found = {"speed", "cadence", "bob"} if names else set()
    if any({f"{g}_hip", f"{g}_knee"} <= set(names) for g in legs):
        found |= {"knee", "thigh"}
    if any({f"{g}_heel", f"{g}_toe"} & set(names) for g in legs):
        found |= {"duty", "airborne", "height"}
    if len(legs) > 1:
        found |= {"step"}
        if all(f"{g}_hip" in names for g in legs[:2]):
            found |= {"lag"}
    if all({f"{g}_hip", f"{g}_knee", f"{g}_ankle"} <= set(names) for g in ("right", "left")):
        found |= {"knee_skew", "thigh_skew"}
    if all({f"{g}_heel", f"{g}_toe"} & set(names) and g in legs for g in ("right", "left")):
        found |= {"duty_skew"}
    if "shoulder" in names and any(n == "hip" or n.endswith("_hip") for n in names):
        found |= {"lean", "sway"}
    return frozenset(found)


def describe(
    track: Track,
    scale: Scale,
    *,
    near: str | None = None,
    distrust: Mapping[str, str] | None = None,
) -> dict[str, Descriptor]:
    """All descriptors of `UNITS`, in that order.

    Joint ranges are those of the leg `near` (None: the mean of all legs). `distrust` names
    descriptors that this view cannot give and why; they keep their value and become unusable.
    Never raises for what a body lacks or a motion does not show.
    """
    track = track.finite()
    if len(track) < 8:
        why = f"only {len(track)} frames"
        return {n: Descriptor(None, u, 0.0, False, why) for n, u in UNITS.items()}
    period = gait_period(track, scale.leg)
    measures = _measures(track.smooth(), scale, near)
    found = {n: _described(n, measures.get(n), track, period) for n in UNITS}
    to_world = np.sqrt(scale.metres / GRAVITY) / (scale.time or 1.0)
    if period:
        value = float(to_world / period.value)
        error = value * period.uncertainty / period.value
        found["cadence"] = Descriptor(value, UNITS["cadence"], error, True)
    # Speed and frequency feel an error of the metres by its root, lengths feel one of the leg.
    for name, doubt in {
        "speed": np.hypot(scale.error / 2, scale.leg_error),
        "cadence": scale.error / 2,
        "step": scale.leg_error,
        "bob": scale.leg_error,
        "height": scale.leg_error,
    }.items():
        d = found[name]
        error = float(np.hypot(d.uncertainty, doubt * (d.value or 0.0)))
        found[name] = replace(d, uncertainty=error)
    if scale.time is None:
        why = "the time scale of the video is unknown"
        for name in ("speed", "cadence"):
            found[name] = Descriptor(None, UNITS[name], 0.0, False, why)
    for name, why in (distrust or {}).items():
        found[name] = replace(found[name], usable=False, why=why)
    return found


ANYWAY = {"speed", "airborne", "lean"}
"""what is measured without a period too"""

Measure = Callable[[int, int], float]
"""the value over the frames [first, last)"""


def _described(
    name: str, measure: Measure | None, track: Track, period: Period | None
) -> Descriptor:
    nothing = Descriptor(None, UNITS[name], 0.0, False)
    if measure is None:
        return replace(nothing, why="the body lacks the points for it")
    if period is None and name not in ANYWAY:
        return replace(nothing, why="no period found")
    values = np.array([measure(a, b) for a, b in spans(track, period)])
    if not np.isfinite(values).all():
        why = "too long in flight" if name == "height" else "too little movement"
        return replace(nothing, why=f"{why} to tell")
    return Descriptor(float(values.mean()), UNITS[name], spread(values), True)


def _measures(track: Track, scale: Scale, near: str | None) -> dict[str, Measure]:
    """How to measure each descriptor that the body can give, over some frames of a smooth track."""
    able = measurable(track.names)
    hip, leg = track.centre, scale.leg
    seen = (near,) if near else track.legs
    to_froude = track.fps / leg * np.sqrt(scale.metres / GRAVITY) / (scale.time or 1.0)
    out: dict[str, Measure] = {
        "speed": lambda a, b: slope(hip[a:b, 0]) * to_froude,
        "cadence": lambda a, b: float("nan"),  # from the period alone
        "bob": lambda a, b: float(np.ptp(level(hip[a:b, 1]))) / leg,
    }

    def legwise(name: str, of: Callable[[str, int, int], float], legs: Collection[str]) -> None:
        shown = [g for g in legs if g in seen]
        out[name] = lambda a, b: float(np.mean([of(g, a, b) for g in shown]))
        if f"{name}_skew" in able:
            out[f"{name}_skew"] = lambda a, b: (of("right", a, b) - of("left", a, b)) / 2

    if "knee" in able:
        jointed = [g for g in track.legs if track.has(f"{g}_hip", f"{g}_knee")]
        bends = {g: flexion(track, g) for g in jointed}
        swings = {g: thigh(track, g) for g in jointed}
        legwise("knee", lambda g, a, b: float(np.ptp(bends[g][a:b])), jointed)
        legwise("thigh", lambda g, a, b: float(np.ptp(swings[g][a:b])), jointed)
    if "duty" in able:
        stands = {g: standing(track, g, leg) for g in track.legs}
        legwise("duty", lambda g, a, b: float(stands[g][a:b].mean()), track.legs)
        either = np.any(list(stands.values()), axis=0)
        out["airborne"] = lambda a, b: float(np.mean(~either[a:b]))
        high = hip[:, 1] - np.min([sole(track, g) for g in track.legs], axis=0) + scale.sole
        out["height"] = lambda a, b: _standing_mean(high[a:b], either[a:b]) / leg
    if "step" in able:
        first, second = (track.point(f"{g}_ankle")[:, 0] for g in track.legs[:2])
        out["step"] = lambda a, b: float(np.ptp((first - second)[a:b])) / 2 / leg
    if "lag" in able:
        # Of the whole leg, hip to ankle: a knee hidden behind the other misleads the thigh's.
        one, two = (limb(track, f"{g}_hip", f"{g}_ankle") for g in track.legs[:2])
        out["lag"] = lambda a, b: lag(one[a:b], two[a:b])
    if "lean" in able:
        pitch = trunk(track)
        out["lean"] = lambda a, b: float(pitch[a:b].mean())
        out["sway"] = lambda a, b: float(np.ptp(pitch[a:b]))
    return out


def _standing_mean(values: np.ndarray, stands: np.ndarray) -> float:
    """Mean over the frames in which a foot stands: in flight nothing shows where the ground is."""
    return float(values[stands].mean()) if stands.mean() > GROUNDED else float("nan")


def spans(track: Track, period: Period | None) -> list[tuple[int, int]]:
    """Stretches (first frame, one after the last) that are measured one by one: single cycles
    that cover the track, or its two halves where there is no cycle."""
    count = len(track)
    if period is None:
        return [(0, count // 2), (count // 2, count)]
    width = min(count, round(period.value * track.fps) + 1)
    pieces = max(2, int(track.seconds / period.value))
    starts = np.rint(np.linspace(0, count - width, pieces)).astype(int)
    return [(int(s), int(s) + width) for s in starts]


def spread(values: np.ndarray) -> float:
    """Uncertainty of the mean of `values`, measured one after the other: their standard
    deviation, or half of what separates the first from the second half if that is more."""
    half = len(values) // 2
    drift = abs(values[:half].mean() - values[-half:].mean()) / 2 if half else 0.0
    return float(max(values.std(), drift))
