"""The ground under a walker's feet, which moves on a treadmill or where a camera follows unnoticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reelward.motion.signals import FOOT_SMOOTH_S, LOW, slope
from reelward.motion.track import Track, smooth

WIDTH = 0.2
"""standard deviation (leg lengths per second) of the kernel that finds the most frequent speed"""
AGREE = 0.4
"""a foot is on the ground if it is low and its speed differs by less than this (leg lengths per second)
from the most frequent one"""
SURE = 0.35
"""least fraction of the low points that are on the ground for the feet to tell its speed"""
IN_PLACE = 0.5
"""a walker is in place if the ground makes up more than this fraction of the speed over the ground"""
SLOW = 0.3
"""speed (leg lengths per second) below which nobody travels"""
ERROR = 0.1
"""error (leg lengths per second) of a ground's speed that the feet tell"""


def ground_speed(track: Track, leg: float, *, camera_known: bool) -> float | None:
    """Speed of the ground under a gait (leg lengths per second, forward positive): 0 where it stands, None
    if neither the camera nor the feet tell it.

    A foot that stands moves with the ground, so the most frequent speed of the low points of the feet is
    the ground's. With a known camera, the ground stands unless the feet slide while the walker hardly
    travels. `leg` is the leg's length in the track's unit.
    """
    hip = slope(track.centre[:, 0]) * track.fps / leg
    unless_told = 0.0 if camera_known and abs(hip) > SLOW else None
    speeds = _low_speeds(track.finite().smooth(), leg)
    if not len(speeds):
        return unless_told
    grid = np.arange(speeds.min(), speeds.max() + 0.01, 0.01)
    density = np.exp(-0.5 * ((grid[:, None] - speeds) / WIDTH) ** 2).sum(axis=1)
    ground = float(grid[np.argmax(density)])
    if np.mean(np.abs(speeds - ground) < AGREE) < SURE:
        return unless_told
    over = abs(hip - ground)
    in_place = over > SLOW and abs(ground) > IN_PLACE * over
    return ground if in_place or not camera_known else 0.0


def over_ground(track: Track, leg: float, speed: float) -> Track:
    """The track as seen from a ground that moves at `speed` (leg lengths per second)."""
    way = speed * leg * np.arange(len(track)) / track.fps
    points = track.points.copy()
    points[..., 0] -= way[:, None].astype(np.float32)
    return replace(track, points=points)


def _low_speeds(track: Track, leg: float) -> np.ndarray:
    """Forward speeds (leg lengths per second) of heels and toes while they are low."""
    speeds = [np.zeros(0)]
    for name in (n for n in track.names if n.endswith(("_heel", "_toe"))):
        point = smooth(track.point(name) / leg, FOOT_SMOOTH_S * track.fps)
        forward = np.gradient(point[:, 0], 1 / track.fps)
        speeds.append(forward[point[:, 1] < np.percentile(point[:, 1], 10) + LOW])
    return np.concatenate(speeds)
