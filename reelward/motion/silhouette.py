"""Bodies that are not human: their outline before a plain background.

An outline shows the period of a movement and how long the body is off the ground. It is refused if
the background is not plain, if the picture's sides cut the body, or if its area jumps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from reelward.motion.track import Track

NAMES = ("centroid", "lowest", "highest", "rightmost", "leftmost")
PLAIN = 40.0
"""maximum deviation (grey levels of 255, 95th percentile) of a plain wall from its median"""
AREA = (0.02, 0.6)
"""minimum and maximum fraction of the picture that a body fills"""
STEADY = 0.25
"""maximum relative standard deviation of the body's area over time"""
OFF_GROUND = 0.03
"""a body is in the air if its lowest point is higher than this (body heights) over the ground"""


@dataclass(frozen=True)
class Outline:
    """What differs from a plain background."""

    mask: np.ndarray
    """[H, W] bool: the body"""
    all: np.ndarray
    """[H, W] bool: the body and everything else, such as the ground"""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom (pixels)."""
        ys, xs = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return float(xs[0]), float(ys[0]), float(xs[-1]), float(ys[-1])

    @property
    def whole(self) -> bool:
        """Not cut by the left, right or upper edge."""
        left, top, right, _ = self.box
        return left > 0 and right < self.mask.shape[1] - 1 and top > 0


def outline(image: np.ndarray) -> Outline | None:
    """The largest object before a plain background (threshold by Otsu), or None."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), image.shape[1] / 320)
    high, wide = grey.shape
    # The ground and its shadow lie below; a plain wall shows at the upper edges.
    rim = np.concatenate([grey[0], grey[: high * 3 // 4, 0], grey[: high * 3 // 4, -1]])
    if np.percentile(np.abs(rim - np.median(rim)), 95) > PLAIN:
        return None
    level, _ = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    body = (grey < level) if np.median(rim) >= level else (grey >= level)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(body.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    fraction = stats[largest, cv2.CC_STAT_AREA] / (high * wide)
    return Outline(labels == largest, body) if AREA[0] <= fraction <= AREA[1] else None


def ground_row(masks: Sequence[np.ndarray]) -> int | None:
    """The first row of the ground: below the legs, where the mean mask is thin, it fills up again. None
    if the outlines show no ground."""
    fill = np.mean([m.mean(axis=1) for m in masks], axis=0)
    low = len(fill) * 2 // 3
    thin = low + int(np.argmin(fill[low:]))
    again = np.flatnonzero(fill[thin:] > 2 * fill[thin] + 0.005)
    return thin + int(again[0]) if len(again) and fill[-1] > 0.1 else None


def measure(outlines: Sequence[Outline | None], fps: float) -> tuple[Track, np.ndarray] | None:
    """The track of the outline's outermost points (pixels, y up), and `[T]` bool: in the air.

    None if fewer than 80 % of the pictures show an outline, if an edge cuts it in more than a fifth
    of them, or if its area is not steady.
    """
    seen = [o for o in outlines if o]
    if len(seen) < 0.8 * len(outlines) or len(seen) < 8:
        return None
    ground = ground_row([o.all for o in seen])
    bodies = [above(o, ground) for o in seen]
    area = np.array([b.mask.sum() for b in bodies], float)
    whole = np.mean([b.whole for b in bodies])
    if area.min() == 0 or area.std() > STEADY * area.mean() or whole < 0.8:
        return None
    points = np.array([_points(b.mask) for b in bodies])
    lowest = -points[:, NAMES.index("lowest"), 1]
    height = float(np.median(np.ptp(points[:, 1:3, 1], axis=1)))
    floor = float(ground) if ground else float(np.percentile(lowest, 90))
    # Pictures without an outline keep the last one: time goes on.
    last = np.maximum.accumulate([i if o else 0 for i, o in enumerate(outlines)])
    index = np.cumsum([o is not None for o in outlines])[last] - 1
    track = Track(
        points[np.maximum(index, 0)].astype(np.float32),
        np.array([[float(o is not None)] * len(NAMES) for o in outlines], np.float32),
        fps,
        NAMES,
    )
    return track, (lowest < floor - OFF_GROUND * height)[np.maximum(index, 0)]


def above(body: Outline, ground: int | None) -> Outline:
    """The largest part of the body above the row of the ground."""
    if ground is None:
        return body
    mask = body.mask.copy()
    mask[ground:] = False
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return body
    return Outline(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), body.all)


def _points(mask: np.ndarray) -> list[tuple[float, float]]:
    ys, xs = np.nonzero(mask)
    ends = [int(i) for i in (np.argmax(ys), np.argmin(ys), np.argmax(xs), np.argmin(xs))]
    return [(xs.mean(), -ys.mean())] + [(float(xs[i]), -float(ys[i])) for i in ends]
