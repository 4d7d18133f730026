"""The margins that a container asks players not to show, which FFmpeg's decoders leave in the picture.

mp4 and mov: the clean aperture (`clap`, ISO/IEC 14496-12). Matroska and WebM: PixelCrop (RFC 9559).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from reelward.motion.screen import Margins

Span = tuple[int, int]
"""the first byte of an element's contents, and the first one after them"""

SAMPLE_ENTRY = 78
"""bytes of a visual sample entry before its boxes"""
CROP = {"bottom": 0x54AA, "top": 0x54BB, "left": 0x54CC, "right": 0x54DD}
"""identifiers of PixelCrop in Matroska"""
SEGMENT, TRACKS, TRACK, KIND, VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0xE0


def margins(path: Path, form: str, track: int, video: int) -> Margins | None:
    """The margins of one video stream of a file. `form` is FFmpeg's name of the container; `track` is the
    number of the stream among all streams, `video` that among the video streams. None if it declares none."""
    with path.open("rb") as file:
        whole = (0, path.stat().st_size)
        try:
            if "mp4" in form:
                return _clean_aperture(file, whole, track)
            if "matroska" in form:
                return _pixel_crop(file, whole, video)
        except (struct.error, ZeroDivisionError, IndexError, StopIteration):
            return None  # FFmpeg reads the file more tolerantly
    return None


def _clean_aperture(file: BinaryIO, whole: Span, track: int) -> Margins | None:
    span = _inside(file, whole, b"moov")[0]
    span = _inside(file, span, b"trak")[track]
    for name in (b"mdia", b"minf", b"stbl", b"stsd"):
        span = _inside(file, span, name)[0]
    _, entry = next(_boxes(file, (span[0] + 8, span[1])))
    file.seek(entry[0] + 24)
    wide, high = struct.unpack(">HH", file.read(4))
    boxes = _inside(file, (entry[0] + SAMPLE_ENTRY, entry[1]), b"clap")
    if not boxes:
        return None
    file.seek(boxes[0][0])
    numbers = struct.unpack(">8i", file.read(32))
    width, height, right, down = (
        Fraction(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True)
    )
    left, top = round((wide - width) / 2 + right), round((high - height) / 2 + down)
    return Margins(left, top, wide - left - round(width), high - top - round(height))


def _inside(file: BinaryIO, span: Span, name: bytes) -> list[Span]:
    return [inner for kind, inner in _boxes(file, span) if kind == name]


def _boxes(file: BinaryIO, span: Span) -> Iterator[tuple[bytes, Span]]:
    at, end = span
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", file.read(8)), 16
        stop = at + size if size else end
        if stop < at + head:
            return
        yield name, (at + head, min(stop, end))
        at = stop


def _pixel_crop(file: BinaryIO, whole: Span, video: int) -> Margins | None:
    segment = _within(file, whole, SEGMENT)[0]
    tracks = next(inner for kind, inner in _elements(file, segment) if kind == TRACKS)
    pictures = []
    for track in _within(file, tracks, TRACK):
        kinds = [_number(file, inner) for inner in _within(file, track, KIND)]
        if kinds == [1]:
            pictures.append(_within(file, track, VIDEO)[0])
    elements = dict(_elements(file, pictures[video]))
    crop = {side: _number(file, elements[k]) for side, k in CROP.items() if k in elements}
    return Margins(**crop) if crop else None


def _within(file: BinaryIO, span: Span, kind: int) -> list[Span]:
    return [inner for other, inner in _elements(file, span) if other == kind]


def _elements(file: BinaryIO, span: Span) -> Iterator[tuple[int, Span]]:
    at, end = span
    while at < end:
        file.seek(at)
        kind, first = _variable(file, keep=True)
        size, second = _variable(file)
        start = at + first + second
        unknown = size == (1 << 7 * second) - 1
        stop = end if unknown else min(start + size, end)
        yield kind, (start, stop)
        at = stop


def _variable(file: BinaryIO, keep: bool = False) -> tuple[int, int]:
    """A number of variable length and its bytes; an identifier keeps the bit that gives the length."""
    first = file.read(1)[0]
    length = 9 - first.bit_length()
    if length > 8:
        raise IndexError("expected a number of at most eight bytes")
    number = first if keep else first & (0xFF >> length)
    for byte in file.read(length - 1):
        number = number << 8 | byte
    return number, length


def _number(file: BinaryIO, span: Span) -> int:
    file.seek(span[0])
    return int.from_bytes(file.read(min(span[1] - span[0], 8)))
