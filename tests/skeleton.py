"""A walking stick figure whose speed, steps, joint ranges and stance times are known beforehand."""

from __future__ import annotations

import numpy as np

from reelward.motion.track import Track

THIGH, SHANK, ANKLE = 0.45, 0.45, 0.08
LEG = THIGH + SHANK + ANKLE
NAMES = ("head", "shoulder", "hip") + tuple(
    f"{side}_{part}"
    for side in ("right", "left")
    for part in ("hip", "knee", "ankle", "heel", "toe")
)


def walker(
    *,
    fps: float = 50.0,
    seconds: float = 8.0,
    period: float = 1.2,
    speed: float = 1.2,
    duty: float = 0.62,
    bob: float = 0.04,
    lag: float = 0.5,
    lift: float = 0.12,
    lean: float = 4.0,
    sway: float = 6.0,
    crouch: float = 0.2,
    spare: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Track:
    """Metres, x forward, y up. A foot stands for `duty` of the cycle while the hip passes over it
    at `speed` (m/s) and swings ahead for the rest; knees by inverse kinematics. `bob` (m) is the
    range of the hip's height, twice a cycle; `sway` (deg) the range of the trunk's pitch. The left
    foot stands for `spare` of the cycle less than the right one.
    """
    t = np.arange(round(seconds * fps)) / fps
    hip = np.stack([speed * t, LEG - crouch + bob / 2 * np.sin(4 * np.pi * t / period)], axis=1)
    points = {"hip": hip}
    pitch = np.radians(lean + sway / 2 * np.sin(2 * np.pi * t / period))
    up = np.stack([np.sin(pitch), np.cos(pitch)], axis=1)
    points["shoulder"], points["head"] = hip + 0.5 * up, hip + 0.7 * up
    right_duty = duty
    for side, late in (("right", 0.0), ("left", lag)):
        duty = right_duty - spare * (side == "left")
        cycle = t / period - late
        phase = cycle - np.floor(cycle)
        stride, stance = speed * period, speed * period * duty
        # Where this foot stands in its current cycle: half a stance ahead of the hip at landing.
        landed = speed * period * (np.floor(cycle) + late) + stance / 2
        s = np.clip((phase - duty) / (1 - duty), 0, 1)
        ease = s - 0.6 * np.sin(2 * np.pi * s) / (2 * np.pi)
        ankle = np.stack([landed + stride * ease, ANKLE + lift * np.sin(np.pi * s)], axis=1)
        points[f"{side}_hip"], points[f"{side}_ankle"] = hip, ankle
        points[f"{side}_knee"] = _knee(hip, ankle)
        points[f"{side}_heel"] = ankle + [-0.06, -ANKLE]
        points[f"{side}_toe"] = ankle + [0.16, -ANKLE]
    xy = np.stack([points[n] for n in NAMES], axis=1)
    xy = xy + np.random.default_rng(seed).normal(0, noise, xy.shape) if noise else xy
    return Track(xy.astype(np.float32), np.ones(xy.shape[:2], np.float32), fps, NAMES)


def knee_range(track: Track, side: str = "right") -> float:
    """Degrees between the most bent and the most stretched knee, straight from the law of cosines."""
    way = np.linalg.norm(track.point(f"{side}_hip") - track.point(f"{side}_ankle"), axis=1)
    inner = (THIGH**2 + SHANK**2 - way**2) / (2 * THIGH * SHANK)
    return float(np.ptp(np.degrees(np.arccos(np.clip(inner, -1, 1)))))


def _knee(hip: np.ndarray, ankle: np.ndarray) -> np.ndarray:
    way = ankle - hip
    far = np.linalg.norm(way, axis=1)
    assert far.max() <= THIGH + SHANK, "the leg is too short for this gait"
    along = (THIGH**2 - SHANK**2 + far**2) / (2 * far)
    off = np.sqrt(np.maximum(THIGH**2 - along**2, 0))
    unit = way / far[:, None]
    forward = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    return hip + unit * along[:, None] + forward * off[:, None]
