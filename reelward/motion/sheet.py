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
STROKES = ((255, 255, 255), (255, 140, 0), (60, 190, 255))
"""colours of a skeleton: the trunk, the right side, the left side"""
ROOM = 1.1
"""height of the space over the ground line (body heights)"""


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
class Stroke:
    """A line over a picture."""

    side: int
    """0 the trunk or an outline, 1 the right side, 2 the left side"""
    points: np.ndarray
    """[N, 2] pixels"""


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
    strokes: Sequence[Stroke] = ()
    """the skeleton or outline that was followed"""


def sheet(tiles: Sequence[Tile], *, strokes: bool = False) -> np.ndarray:
    """RGB `[rows * SIZE, columns * SIZE, 3]`. Every body is in the middle of its tile, on the same
    ground line and at the same size, below its number, seconds and phase. `strokes`: draw what was
    followed over the pictures, for a person who checks it."""
    columns = min(COLUMNS, len(tiles))
    drawn = [_drawn(tile, i + 1, strokes) for i, tile in enumerate(tiles)]
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


def ground_in_tile(ground: np.ndarray, highest: np.ndarray, height: float) -> np.ndarray:
    """`[T]` row of the ground line (y down, pixels), raised where a body of this `height` would else leave its
    tile at the top, as before a jump down. `highest [T]` is the row of the body's highest point."""
    return np.minimum(ground, highest + ROOM * height)


def _whole(image: np.ndarray) -> Place:
    """The place at which the whole picture fills a tile, below the line of its number."""
    height, width = image.shape[:2]
    scale = (SIZE - 22) / max(height, width)
    middle = (SIZE + 22) / 2
    return Place(width / 2, height / 2 + (GROUND * SIZE - middle) / scale, BODY * SIZE / scale)


def _drawn(tile: Tile, number: int, strokes: bool) -> np.ndarray:
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
    if strokes:
        _draw(out, [Stroke(s.side, s.points @ move[:, :2].T + move[:, 2]) for s in tile.strokes])
    phase = "" if tile.phase is None else f"  {100 * tile.phase:.0f} %"
    out[:22] = PAPER
    _write(out, f"{number}   {tile.time:.2f} s{phase}", (7, 16))
    if strokes and number == 1:
        _explain(out, tile.strokes)
    cv2.rectangle(out, (0, 0), (SIZE - 1, SIZE - 1), PAPER, 2)
    return out


def _draw(image: np.ndarray, strokes: Sequence[Stroke]) -> None:
    """Each line with a dark rim, so that it shows on any background."""
    lines = [(np.rint(s.points * 8).astype(np.int32), s.side, len(s.points) == 2) for s in strokes]
    for line, _, bone in lines:
        cv2.polylines(image, [line], False, INK, 4 if bone else 3, cv2.LINE_AA, shift=3)
    for line, side, bone in lines:
        cv2.polylines(image, [line], False, STROKES[side], 2 if bone else 1, cv2.LINE_AA, shift=3)


def _explain(image: np.ndarray, strokes: Sequence[Stroke]) -> None:
    """The colours of the two sides, at the right of the line of a tile's number."""
    for x, side, name in ((126, 1, "right"), (180, 2, "left")):
        if any(s.side == side for s in strokes):
            cv2.line(image, (x, 12), (x + 10, 12), STROKES[side], 3)
            _write(image, name, (x + 13, 16), 0.4)


def _write(image: np.ndarray, text: str, at: tuple[int, int], size: float = 0.45) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)
