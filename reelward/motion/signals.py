"""Angles, stances and lines over time: what descriptors are made of."""

from __future__ import annotations

import numpy as np

from reelward.motion.track import Track, smooth

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


def slope(values: np.ndarray) -> float:
    """Rise per frame of the straight line through `values [T]`."""
    t = np.arange(len(values)) - (len(values) - 1) / 2
    return float(t @ values / max(t @ t, 1e-12))


def level(values: np.ndarray) -> np.ndarray:
    """`values [T]` less the straight line from their first to their last one (a tilted picture,
    a walker that comes nearer)."""
    return values - np.linspace(values[0], values[-1], len(values))


def limb(track: Track, upper: str, lower: str) -> np.ndarray:
    """`[T]` degrees of the line between two points against the vertical, forward positive."""
    return _bearing(track.point(lower) - track.point(upper))


def thigh(track: Track, leg: str) -> np.ndarray:
    """`[T]` degrees of the thigh against the vertical, forward positive."""
    return limb(track, f"{leg}_hip", f"{leg}_knee")


def flexion(track: Track, leg: str) -> np.ndarray:
    """`[T]` degrees of the knee, 0 stretched; positive is the shank behind the thigh."""
    return _unwrap(thigh(track, leg) - limb(track, f"{leg}_knee", f"{leg}_ankle"))


def trunk(track: Track) -> np.ndarray:
    """`[T]` degrees of the line from hip to shoulder against the vertical, forward positive."""
    return _unwrap(-_bearing(track.centre - track.point("shoulder")))


def sole(track: Track, leg: str) -> np.ndarray:
    """`[T]` height of the lower one of heel and toe, infinite where the leg has neither."""
    ends = [track.point(n)[:, 1] for n in (f"{leg}_heel", f"{leg}_toe") if track.has(n)]
    return np.min(ends, axis=0) if ends else np.full(len(track), np.inf)


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
