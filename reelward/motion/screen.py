"""How a player shows the frames of a stream: which part of them, how wide, which way up, in which colours."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import ColorTrc, VideoReformatter

ASPECTS = (Fraction(1, 8), Fraction(8))
"""range of the shape of a pixel; a file that declares another one is wrong"""
HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
"""transfer functions whose brightness is mapped to that of an ordinary screen"""
PAPER_WHITE, BRIGHTEST = 203.0, 1000.0
"""light (candela per square metre) of a white sheet (ITU-R BT.2408), and of what is shown as white"""
PAGE = 255
"""grey level behind transparent pixels, as on a web page"""


@dataclass(frozen=True)
class Margins:
    """Pixels of the coded picture that are not shown."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class Screen:
    """Shows frames like a stream's `first` one, at one size: `width` and `height` (pixels) are upright,
    and the longer side has at most `side` pixels.

    `aspect` is the width of a pixel divided by its height. A rotation or reflection in the file's display
    matrix is applied. A frame of another size, as after a change of channel, is scaled to this one.
    """

    def __init__(
        self,
        first: av.VideoFrame,
        aspect: Fraction | None = None,
        margins: Margins | None = None,
        side: int | None = None,
    ) -> None:
        wide, high = first.width, first.height
        self._margins = margins if margins and _fit(margins, wide, high) else Margins()
        wide -= self._margins.left + self._margins.right
        high -= self._margins.top + self._margins.bottom
        if aspect is not None and ASPECTS[0] <= aspect <= ASPECTS[1]:
            wide = round(wide * aspect)
        scale = min(1.0, (side or max(wide, high)) / max(wide, high))
        self._size = max(2, round(wide * scale)), max(2, round(high * scale))
        self._whole, self._scaled = VideoReformatter(), VideoReformatter()
        self._transposed, self._mirrored, self._upturned = _orientation(first)
        self.width, self.height = self._size[::-1] if self._transposed else self._size

    def show(self, frame: av.VideoFrame) -> np.ndarray:
        """RGB `[height, width, 3]` uint8."""
        if self._margins != Margins():
            image = _rgb(self._whole, frame, frame.width, frame.height)
            frame = av.VideoFrame.from_ndarray(_cut(image, self._margins), format="rgb24")
        image = _rgb(self._scaled, frame, *self._size)
        if self._transposed:
            image = image.transpose(1, 0, 2)
        image = image[:: -1 if self._upturned else 1, :: -1 if self._mirrored else 1]
        return np.ascontiguousarray(image)


def _fit(margins: Margins, wide: int, high: int) -> bool:
    sides = margins.left, margins.top, margins.right, margins.bottom
    inside = margins.left + margins.right < wide and margins.top + margins.bottom < high
    return min(sides) >= 0 and inside


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether rows become columns, and then whether to mirror left to right and top to bottom."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return False, False, False
    # (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
    return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)


def _cut(image: np.ndarray, margins: Margins) -> np.ndarray:
    high, wide = image.shape[:2]
    part = image[margins.top : high - margins.bottom, margins.left : wide - margins.right]
    return np.ascontiguousarray(part)


def _rgb(scaler: VideoReformatter, frame: av.VideoFrame, wide: int, high: int) -> np.ndarray:
    """RGB `[high, wide, 3]` by the matrix and range that the frame declares."""
    if any(c.is_alpha for c in frame.format.components):
        image = scaler.reformat(frame, wide, high, "rgba").to_ndarray()
        colour, alpha = image[..., :3].astype(np.uint16), image[..., 3:].astype(np.uint16)
        return ((colour * alpha + PAGE * (255 - alpha) + 127) // 255).astype(np.uint8)
    transfer = ColorTrc(frame.color_trc) if frame.color_trc in HDR else None
    if transfer is None:
        return scaler.reformat(frame, wide, high, "rgb24").to_ndarray()
    deep = scaler.reformat(frame, wide, high, "rgb48le").to_ndarray().astype(np.uint16)
    shades: np.ndarray = _shades(transfer)[deep >> 4]
    return shades


@functools.cache
def _shades(transfer: ColorTrc) -> np.ndarray:
    """`[4096]` uint8: what an ordinary screen shows for a 12-bit level of this transfer function (ITU-R
    BT.2100). Light is compressed by Reinhard's curve (2002), so that `PAPER_WHITE` is well below the
    brightest shade. The primaries stay, which FFmpeg would convert in many seconds."""
    level = np.linspace(0, 1, 4096)
    if transfer == ColorTrc.SMPTE2084:
        root = level ** (32 / 2523)
        light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (8192 / 1305)
        light *= 10_000
    else:
        dark, bright = level**2 / 3, (np.exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = BRIGHTEST * np.where(level <= 0.5, dark, bright) ** 1.2
    ratio, most = light / PAPER_WHITE, BRIGHTEST / PAPER_WHITE
    mapped = np.minimum(ratio * (1 + ratio / most**2) / (1 + ratio), 1)
    shade = np.where(mapped <= 0.0031308, 12.92 * mapped, 1.055 * mapped ** (1 / 2.4) - 0.055)
    return np.rint(255 * shade).astype(np.uint8)
