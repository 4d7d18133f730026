"""A track as a stick figure for a web page: whole numbers, the same scale for every body."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from reelward.motion.sheet import ground_under
from reelward.motion.track import Track

FPS = 25.0
UNIT = 200
"""units per leg length"""
LEG = ("hip", "knee", "ankle", "heel", "toe", "ankle")
ARM = ("elbow", "wrist")


class StickFigure(TypedDict):
    """The points of a body over time."""

    fps: float
    unit: int
    """units per leg length"""
    bones: list[tuple[int, int, int]]
    """pairs of points to join, and the side of each: 0 the trunk, 1 the first leg, 2 the other leg"""
    frames: list[list[int]]
    """of each frame, x and y of each point"""


def bones(names: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """The bones between the points with these names."""
    sides = list(dict.fromkeys(n.split("_")[0] for n in names if "_" in n))
    chains = [(0, ["head", "shoulder", "hip"])]
    for number, side in enumerate(sides, 1):
        for root, parts in (("hip", LEG), ("shoulder", ARM)):
            own = [f"{side}_{part}" for part in parts if f"{side}_{part}" in names]
            chains.append((number, [root, *own]))
    return [
        (names.index(a), names.index(b), side)
        for side, chain in chains
        for a, b in zip(chain, chain[1:], strict=False)
        if a in names and b in names
    ]


def stick_figure(
    track: Track, leg_length: float | None, period: float | None, seconds: float
) -> StickFigure | None:
    """The first `seconds` of the track, with the hip at x = 0 and the ground at y = 0.

    `leg_length` is in the track's unit; None: the height of the hip. Within `period` (s) some foot
    touches the ground. None for a body without legs.
    """
    track = track.finite()
    if len(track) < 2 or not track.legs:
        return None
    points = track.points.astype(np.float64)
    reach = round((period or track.seconds) * track.fps)
    points[..., 0] -= track.centre[:, :1]
    points[..., 1] += ground_under(-points[..., 1].min(axis=1), reach)[:, None]
    hips = [track.names.index(n) for n in track.names if n.endswith("hip")]
    leg = leg_length or max(float(np.percentile(points[:, hips, 1], 95)), 1e-6)
    times = np.arange(0.0, min(seconds, (len(track) - 1) / track.fps), 1 / FPS)
    placed = Track(points / leg, track.confidence, track.fps, track.names).at(times, FPS)
    whole = np.rint(placed.points * UNIT).astype(int).reshape(len(times), -1)
    return {"fps": FPS, "unit": UNIT, "bones": bones(track.names), "frames": whole.tolist()}
