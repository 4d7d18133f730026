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
from reelward.motion.track import Track, smooth

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

STILL = 0.2
"""a point of a foot stands still below this share of its own fast (95th percentile) speed ..."""
STILL_LEAST = 0.3
"""... or below this speed (leg lengths a second), as a body that only trembles does ..."""
LOW = 0.10
"""... and lies no higher (leg lengths) than this over the place where it stands"""
GAP_S, BLIP_S = 0.1, 0.05
"""a gap in a stance, and a stance, that are no longer than this are trembling"""
FOOT_SMOOTH_S = 0.02
"""further low-pass (s) of the feet's places, whose speed is asked for"""


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
    unknown.
    """

    leg: float
    metres: float
    leg_error: float = 0.0
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
    put("cadence", lambda a, b: 0.0)
    if period:
        value = to_froude / period.value
        error = value * period.uncertainty / period.value
        out["cadence"] = Descriptor(float(value), UNITS["cadence"], float(error), True)
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
    # Speed and frequency feel an error of the metres by its root, lengths feel one of the leg.
    for name, doubt in {
        "speed": np.hypot(scale.error / 2, scale.leg_error),
        "cadence": scale.error / 2,
        "step": scale.leg_error,
        "bob": scale.leg_error,
    }.items():
        d = out[name]
        error = float(np.hypot(d.uncertainty, doubt * (d.value or 0.0)))
        out[name] = replace(d, uncertainty=error)
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
    still = np.zeros(len(track), bool)
    for name in (f"{leg}_heel", f"{leg}_toe"):
        if track.has(name):
            p = smooth(track.point(name) / leg_length, FOOT_SMOOTH_S * track.fps)
            speed = np.linalg.norm(np.gradient(p, 1 / track.fps, axis=0), axis=1)
            slow = speed < max(STILL_LEAST, STILL * np.percentile(speed, 95))
            ground = np.percentile(p[slow, 1], 20) if slow.any() else 0.0
            still |= slow & (p[:, 1] < ground + LOW)
    still = without_runs(still, False, round(GAP_S * track.fps))
    return without_runs(still, True, round(BLIP_S * track.fps))


def without_runs(on: np.ndarray, value: bool, frames: int) -> np.ndarray:
    """`on [T]` bool with the runs of `value` of at most `frames` turned over; one that touches an
    end may go on outside and stays."""
    on = on.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[not value], on, [not value]]).astype(np.int8)))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if b - a <= frames and a > 0 and b < len(on):
            on[a:b] = not value
    return on


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
