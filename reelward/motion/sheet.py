"""The contact sheet: numbered pictures of one cycle, one form for expert and learner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from reelward.motion.track import Track

SIZE = 224
"""pixels of a tile's side: eight of them make 896 x 448"""
COLUMNS = 4
BODY = 0.72
"""the body's height, as a fraction of the tile"""
GROUND = 0.90
"""the row of the ground line, as a fraction of the tile"""
PAPER, INK, LINE = (246, 246, 242), (24, 24, 24), (200, 60, 40)


@dataclass(frozen=True)
class Place:
    """Where in a picture the subject is (pixels)."""

    centre: float
    """column of the body's middle"""
    ground: float
    """row of the ground"""
    height: float
    """of the body"""


@dataclass(frozen=True)
class Tile:
    """A picture of the sheet."""

    image: np.ndarray
    """[H, W, 3] RGB"""
    time: float
    """s"""
    place: Place | None = None
    """of the subject; None: the whole picture is shown"""
    phase: float | None = None
    """cycles; None without a cycle"""
    flip: bool = False
    """mirror left to right"""


def sheet(tiles: Sequence[Tile]) -> np.ndarray:
    """RGB `[rows * SIZE, columns * SIZE, 3]`. Every body is in the middle of its tile, on the same
    ground line and at the same size, below its number, seconds and phase."""
    columns = min(COLUMNS, len(tiles))
    drawn = [_drawn(tile, i + 1) for i, tile in enumerate(tiles)]
    blank = np.full((SIZE, SIZE, 3), PAPER, np.uint8)
    drawn += [blank] * (-len(drawn) % columns)
    rows = [np.hstack(drawn[i : i + columns]) for i in range(0, len(drawn), columns)]
    return np.vstack(rows)


def body_height(track: Track) -> float:
    """Height of the body in the track's unit: the 90th percentile from lowest to highest point, and a
    tenth for crown and soles."""
    y = track.points[..., 1]
    return 1.1 * float(np.percentile(y.max(axis=1) - y.min(axis=1), 90))


def ground_under(lowest: np.ndarray, reach: int) -> np.ndarray:
    """`[T]` row of the ground (y down, pixels) from the row of the body's `lowest` point in each frame.

    It is the 80th percentile within `reach` frames, so it ignores a jump and follows a slope.
    """
    windows = (lowest[max(0, i - reach) : i + reach + 1] for i in range(len(lowest)))
    return np.array([np.percentile(w, 80) for w in windows])


def _whole(image: np.ndarray) -> Place:
    """The place at which the whole picture fills a tile, below the line of its number."""
    height, width = image.shape[:2]
    scale = (SIZE - 22) / max(height, width)
    middle = (SIZE + 22) / 2
    return Place(width / 2, height / 2 + (GROUND * SIZE - middle) / scale, BODY * SIZE / scale)


def _drawn(tile: Tile, number: int) -> np.ndarray:
    image, place = tile.image, tile.place or _whole(tile.image)
    scale = BODY * SIZE / max(place.height, 1e-6)
    side = -scale if tile.flip else scale
    move = np.array(
        [
            [side, 0, SIZE / 2 - side * place.centre],
            [0, scale, GROUND * SIZE - scale * place.ground],
        ]
    )
    if scale < 1:  # warpAffine samples single pixels: take the fine detail out first
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    out = cv2.warpAffine(
        image, move, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        borderValue=PAPER,
    )  # fmt: skip
    y = round(GROUND * SIZE)
    if tile.place:
        cv2.line(out, (0, y), (SIZE - 1, y), LINE, 1)
    phase = "" if tile.phase is None else f"  {100 * tile.phase:.0f} %"
    out[:22] = PAPER
    _write(out, f"{number}   {tile.time:.2f} s{phase}", (7, 16))
    cv2.rectangle(out, (0, 0), (SIZE - 1, SIZE - 1), PAPER, 2)
    return out


def _write(image: np.ndarray, text: str, at: tuple[int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
