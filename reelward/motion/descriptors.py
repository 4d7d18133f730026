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
from reelward.motion.track import Track

GRAVITY = 9.81

UNITS = {
    "speed": "Froude number v/sqrt(g L)",
    "cadence": "stride frequency x sqrt(L/g)",
    "step": "leg lengths",
    "bob": "leg lengths",
    "knee": "degrees",
    "thigh": "degrees",
    "duty": "fraction of the cycle",
    "airborne": "fraction of the time",
    "lag": "cycles",
    "lean": "degrees",
    "sway": "degrees",
}

STILL_SPEED = 0.5
"""a point of a foot stands still below this speed (its own leg lengths a second) ..."""
STILL_HEIGHT = 0.04
"""... and below this height over where it lies lowest (leg lengths)"""


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

    `leg`: leg length in the track's unit. `metres`: the same in metres. `error`: relative
    uncertainty of `metres`. `time`: seconds of the world a second of the track, None if unknown.
    """

    leg: float
    metres: float
    error: float = 0.0
    time: float | None = 1.0


def measurable(names: Collection[str]) -> frozenset[str]:
    """The descriptors that a body with these keypoints could give in principle."""
    legs = [n[: -len("_ankle")] for n in names if n.endswith("_ankle")]
    found = {"speed", "cadence", "bob"} if names else set()
    if any({f"{g}_hip", f"{g}_knee"} <= set(names) for g in legs):
        found |= {"knee", "thigh"}
    if any({f"{g}_heel", f"{g}_toe"} & set(names) for g in legs):
        found |= {"duty", "airborne"}
    if len(legs) > 1:
        found |= {"step"}
        if sum({f"{g}_hip", f"{g}_knee"} <= set(names) for g in legs) > 1:
            found |= {"lag"}
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
    found = _all(track.smooth(), period, scale, near)
    for name, why in (distrust or {}).items():
        found[name] = replace(found[name], usable=False, why=why)
    return found


def _all(
    track: Track, period: Period | None, scale: Scale, near: str | None
) -> dict[str, Descriptor]:
    able = measurable(track.names)
    legs = (near,) if near else track.legs
    clock = "the time scale of the video is unknown"
    hip = track.centre
    out: dict[str, Descriptor] = {}

    def put(name: str, measure: Callable[[int, int], float], cyclic: bool = True) -> None:
        unit = UNITS[name]
        if name not in able:
            out[name] = Descriptor(None, unit, 0.0, False, "the body lacks the points for it")
        elif cyclic and period is None:
            out[name] = Descriptor(None, unit, 0.0, False, "no period found")
        else:
            values = np.array([measure(a, b) for a, b in spans(track, period)])
            ok = bool(np.isfinite(values).all())
            out[name] = (
                Descriptor(float(values.mean()), unit, spread(values), True)
                if ok
                else Descriptor(None, unit, 0.0, False, "too little movement to tell")
            )

    to_froude = np.sqrt(scale.metres / GRAVITY) / (scale.time or 1.0)
    put("speed", lambda a, b: slope(hip[a:b, 0]) * track.fps / scale.leg * to_froude, cyclic=False)
    out["speed"] = _rescaled(out["speed"], scale)
    put("cadence", lambda a, b: 0.0)
    if period:
        value = to_froude / period.value
        error = value * period.uncertainty / period.value
        out["cadence"] = Descriptor(float(value), UNITS["cadence"], float(error), True)
        out["cadence"] = _rescaled(out["cadence"], scale)
    if scale.time is None:
        for name in ("speed", "cadence"):
            out[name] = Descriptor(None, UNITS[name], 0.0, False, clock)

    if "step" in able:
        apart = track.point(f"{track.legs[0]}_ankle") - track.point(f"{track.legs[1]}_ankle")
    put("step", lambda a, b: float(np.ptp(apart[a:b, 0])) / 2 / scale.leg)
    put("bob", lambda a, b: float(np.ptp(level(hip[a:b, 1]))) / scale.leg)

    bends = [flexion(track, leg) for leg in legs] if "knee" in able else []
    swings = {leg: thigh(track, leg) for leg in track.legs} if "thigh" in able else {}
    put("knee", lambda a, b: float(np.mean([np.ptp(x[a:b]) for x in bends])))
    put("thigh", lambda a, b: float(np.mean([np.ptp(swings[g][a:b]) for g in legs])))

    if "duty" in able:
        stands = {leg: standing(track, leg, scale.leg) for leg in track.legs}
    put("duty", lambda a, b: float(np.mean([stands[g][a:b].mean() for g in legs])))
    put(
        "airborne",
        lambda a, b: float(np.mean(~np.any([s[a:b] for s in stands.values()], axis=0))),
        cyclic=False,
    )
    put("lag", lambda a, b: lag(swings[track.legs[0]][a:b], swings[track.legs[1]][a:b]))
    if "lean" in able:
        pitch = trunk(track)
    put("lean", lambda a, b: float(pitch[a:b].mean()), cyclic=False)
    put("sway", lambda a, b: float(np.ptp(pitch[a:b])))
    return {name: out[name] for name in UNITS}


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


def slope(values: np.ndarray) -> float:
    """Rise per frame of the straight line through `values [T]`."""
    t = np.arange(len(values)) - (len(values) - 1) / 2
    return float(t @ values / max(t @ t, 1e-12))


def level(values: np.ndarray) -> np.ndarray:
    """`values [T]` less the straight line from their first to their last one (a tilted picture,
    a walker that comes nearer)."""
    return values - np.linspace(values[0], values[-1], len(values))


def thigh(track: Track, leg: str) -> np.ndarray:
    """`[T]` degrees of the thigh against the vertical, forward positive."""
    return _bearing(track.point(f"{leg}_knee") - track.point(f"{leg}_hip"))


def flexion(track: Track, leg: str) -> np.ndarray:
    """`[T]` degrees of the knee, 0 stretched; positive is the shank behind the thigh."""
    shank = _bearing(track.point(f"{leg}_ankle") - track.point(f"{leg}_knee"))
    return _unwrap(thigh(track, leg) - shank)


def trunk(track: Track) -> np.ndarray:
    """`[T]` degrees of the line from hip to shoulder against the vertical, forward positive."""
    return _unwrap(-_bearing(track.centre - track.point("shoulder")))


def standing(track: Track, leg: str, leg_length: float) -> np.ndarray:
    """`[T]` bool: the heel or the toe of this leg lies low and still."""
    still = []
    for name in (f"{leg}_heel", f"{leg}_toe"):
        if track.has(name):
            p = track.point(name) / leg_length
            fast = np.linalg.norm(np.gradient(p, 1 / track.fps, axis=0), axis=1)
            low = p[:, 1] - np.percentile(p[:, 1], 5)
            still.append((fast < STILL_SPEED) & (low < STILL_HEIGHT))
    return np.any(still, axis=0) if still else np.zeros(len(track), bool)


def lag(first: np.ndarray, second: np.ndarray) -> float:
    """Cycles (0 to 0.5) by which the fundamental of one angle follows that of the other, over one
    cycle; not a number where one of them moves less than 5 degrees."""
    if min(np.ptp(first), np.ptp(second)) < 5.0:
        return float("nan")
    turn = np.exp(-2j * np.pi * np.arange(len(first) - 1) / (len(first) - 1))
    a, b = (turn @ (level(x) - level(x).mean())[:-1] for x in (first, second))
    return float(abs(np.angle(a * np.conj(b))) / (2 * np.pi))


def _bearing(way: np.ndarray) -> np.ndarray:
    """Degrees of `way [T, 2]` against straight down, forward positive, without jumps."""
    return _unwrap(np.degrees(np.arctan2(way[:, 0], -way[:, 1])))


def _unwrap(angle: np.ndarray) -> np.ndarray:
    return np.unwrap(angle, period=360.0)


def _rescaled(d: Descriptor, scale: Scale) -> Descriptor:
    """With the error of the body's size in metres, which speed and frequency feel by its root."""
    if d.value is None:
        return d
    return replace(d, uncertainty=float(np.hypot(d.uncertainty, 0.5 * scale.error * d.value)))
