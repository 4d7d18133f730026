"""Signals over time from which descriptors are computed: angles, stances, slopes."""

from __future__ import annotations

import numpy as np

from reelward.motion.track import Track, smooth

STILL = 0.2
"""fraction of its 95th percentile speed below which a point of a foot is still"""
STILL_LEAST = 0.3
"""speed (leg lengths per second) below which it is still in any case, as in a body that only trembles"""
LOW = 0.10
"""maximum height (leg lengths) of a standing point over the place where it stands"""
GAP_S, BLIP_S = 0.1, 0.05
"""gaps in a stance, and stances, up to this length are noise"""
FOOT_SMOOTH_S = 0.02
"""additional low-pass (s) before the speed of a foot is computed"""


def slope(values: np.ndarray) -> float:
    """Slope per frame of the least-squares line through `values [T]`."""
    t = np.arange(len(values)) - (len(values) - 1) / 2
    return float(t @ values / max(t @ t, 1e-12))


def level(values: np.ndarray) -> np.ndarray:
    """`values [T]` minus the straight line from first to last value, which removes the effect of a
    tilted picture or of a walker who comes nearer."""
    return values - np.linspace(values[0], values[-1], len(values))


def limb(track: Track, upper: str, lower: str) -> np.ndarray:
    """`[T]` degrees of the line between two points against the vertical, forward positive."""
    return _bearing(track.point(lower) - track.point(upper))


def thigh(track: Track, leg: str) -> np.ndarray:
    """`[T]` degrees of the thigh against the vertical, forward positive."""
    return limb(track, f"{leg}_hip", f"{leg}_knee")


def flexion(track: Track, leg: str) -> np.ndarray:
    """`[T]` degrees of the knee, 0 when straight, positive when the shank is behind the thigh."""
    return _unwrap(thigh(track, leg) - limb(track, f"{leg}_knee", f"{leg}_ankle"))


def trunk(track: Track) -> np.ndarray:
    """`[T]` degrees of the line from hip to shoulder against the vertical, forward positive."""
    return _unwrap(-_bearing(track.centre - track.point("shoulder")))


def sole(track: Track, leg: str) -> np.ndarray:
    """`[T]` height of the lower one of heel and toe, infinite where the leg has neither."""
    ends = [track.point(n)[:, 1] for n in (f"{leg}_heel", f"{leg}_toe") if track.has(n)]
    return np.min(ends, axis=0) if ends else np.full(len(track), np.inf)


def standing(track: Track, leg: str, leg_length: float) -> np.ndarray:
    """`[T]` bool: whether the heel or the toe of this leg is low and still."""
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
    """`on [T]` bool with the runs of `value` of at most `frames` inverted. A run at either end is kept,
    because it may be longer than it looks."""
    on = on.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[not value], on, [not value]]).astype(np.int8)))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if b - a <= frames and a > 0 and b < len(on):
            on[a:b] = not value
    return on


def lag(first: np.ndarray, second: np.ndarray) -> float:
    """Phase lag (cycles, 0 to 0.5) between the fundamentals of two angles over one cycle. Not a number if
    one of them moves less than 5 degrees."""
    if min(np.ptp(first), np.ptp(second)) < 5.0:
        return float("nan")
    turn = np.exp(-2j * np.pi * np.arange(len(first) - 1) / (len(first) - 1))
    a, b = (turn @ (level(x) - level(x).mean())[:-1] for x in (first, second))
    return float(abs(np.angle(a * np.conj(b))) / (2 * np.pi))


def _bearing(direction: np.ndarray) -> np.ndarray:
    """Degrees of `direction [T, 2]` against straight down, forward positive, without jumps."""
    return _unwrap(np.degrees(np.arctan2(direction[:, 0], -direction[:, 1])))


def _unwrap(angle: np.ndarray) -> np.ndarray:
    return np.unwrap(angle, period=360.0)
