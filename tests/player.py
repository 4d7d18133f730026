"""Short films of a known figure in every form of file, and what is read of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.filter import Graph

from reelward.motion.video import frames

WIDE, HIGH, FPS, COUNT = 192, 128, 24, 24
SPEED = 0.4
"""picture widths per second"""
RATIO = 0.75
"""of the figure: width by height"""


def figure(second: float, wide: int = WIDE, high: int = HIGH) -> np.ndarray:
    """A dark ellipse before a light wall that moves to the right. `wide` and `high` are those of the
    stored picture; a player shows `WIDE` by `HIGH`."""
    image = np.full((high, wide, 3), 210, np.uint8)
    middle = round(wide * (0.3 + SPEED * second)), high // 2
    cv2.ellipse(image, middle, (wide // 8, high // 4), 0, 0, 360, (40, 40, 40), -1)
    return image


def film(wide: int = WIDE, high: int = HIGH, count: int = COUNT) -> list[np.ndarray]:
    return [figure(i / FPS, wide, high) for i in range(count)]


class Seen(NamedTuple):
    """What is read of a film."""

    size: tuple[int, int]
    """width, height"""
    ratio: float
    """of the figure"""
    speed: float
    """of the figure (picture widths per second)"""
    begin: float
    """place of the figure in the first picture (picture widths)"""
    times: list[float]


def seen(path: Path) -> Seen:
    pictures = list(frames(path))
    places, ratios = [], []
    for picture in pictures:
        ys, xs = np.nonzero(picture.image.mean(axis=2) < 125)
        places.append(xs.mean() / picture.image.shape[1])
        ratios.append((np.ptp(xs) + 1) / (np.ptp(ys) + 1))
    times = [p.time for p in pictures]
    speed = float(np.polyfit(times, places, 1)[0]) if len(times) > 2 else 0.0
    high, wide = pictures[0].image.shape[:2]
    return Seen((wide, high), float(np.median(ratios)), speed, places[0], times)


def write(
    path: Path,
    images: Sequence[np.ndarray],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    *,
    form: str = "rgb24",
    stamps: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    change: Callable[[av.VideoFrame], av.VideoFrame] = lambda frame: frame,
    **settings: Any,
) -> Path:
    """A film by PyAV. `stamps` (ms) are the times of its pictures, `settings` those of its codec, and
    `change` is applied to each frame before it is encoded."""
    with av.open(str(path), "w", options=container or {}) as box:
        stream = box.add_stream(codec, rate=FPS, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        turn = settings.pop("turn", None)
        if turn:
            stream.set_display_rotation(*turn)
        base = Fraction(1, 1000) if stamps else Fraction(1, FPS)
        stream.codec_context.time_base = base
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for i, image in enumerate(images):
            frame = change(av.VideoFrame.from_ndarray(image, format=form))
            frame.pts, frame.time_base = stamps[i] if stamps else i, base
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    return path


def interlaced(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame, marked as two fields of which the upper one is earlier."""
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, FPS)
        ),
        graph.add("setfield", "tff"),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    pulled = graph.pull()
    assert isinstance(pulled, av.VideoFrame)
    return pulled


def woven(wide: int = WIDE) -> list[np.ndarray]:
    """A film whose even rows are half a frame earlier than its odd ones."""
    images = film(wide)
    for i, image in enumerate(images):
        image[1::2] = figure((i + 0.5) / FPS, wide)[1::2]
    return images


def with_sound(
    path: Path, *, sound: float, late: float = 0.0, cover: bool = False, picture: bool = True
) -> Path:
    """A film of 1 s after `sound` seconds of silence on a first track. It begins `late` seconds after the
    sound. `cover` adds a cover picture before all else; without `picture` there is no film."""
    with av.open(str(path), "w") as box:
        packets: list[av.Packet] = []
        if cover:
            still = box.add_stream("mjpeg", rate=1)
            still.width, still.height, still.pix_fmt = 320, 320, "yuvj420p"
            still.disposition = av.stream.Disposition.attached_pic
        voice = box.add_stream("aac", rate=44100)
        stream = box.add_stream("libx264", rate=FPS) if picture else None
        if cover:
            green = av.VideoFrame.from_ndarray(np.full((320, 320, 3), (9, 200, 9), np.uint8))
            packets += still.encode(green) + still.encode()
        for at in range(0, int(sound * 44100), 1024):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.rate, silence.time_base, silence.pts = 44100, Fraction(1, 44100), at
            packets += voice.encode(silence)
        packets += voice.encode()
        if stream:
            stream.width, stream.height, stream.pix_fmt = WIDE, HIGH, "yuv420p"
            for i, image in enumerate(film()):
                frame = av.VideoFrame.from_ndarray(image)
                frame.pts, frame.time_base = i + round(late * FPS), Fraction(1, FPS)
                packets += stream.encode(frame)
            packets += stream.encode()
        for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
            box.mux(packet)
    return path


# --- margins that PyAV does not write


def with_clean_aperture(path: Path, wide: int, high: int, right: int = 0, down: int = 0) -> Path:
    """The mp4 or mov at `path` (its index is at its end) with a clean aperture of this size, whose middle is
    so far to the right of the picture's and below it."""
    data = path.read_bytes()
    box = struct.pack(">I4s8i", 40, b"clap", wide, 1, high, 1, right, 1, down, 1)
    names = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")
    starts, at = [], 0
    for name in names:
        at = data.index(name, at)
        starts.append(at - 4)
    (size,) = struct.unpack_from(">I", data, starts[-1])
    end = starts[-1] + size
    grown = bytearray(data[:end] + box + data[end:])
    for start in starts:
        (size,) = struct.unpack_from(">I", grown, start)
        struct.pack_into(">I", grown, start, size + len(box))
    path.write_bytes(bytes(grown))
    return path


def with_pixel_crop(path: Path, left: int, top: int, right: int, bottom: int) -> Path:
    """The Matroska file at `path` (written as a live stream, without an index) with PixelCrop."""
    data = path.read_bytes()
    crop = b"".join(
        bytes([0x54, kind, 0x81, value])
        for kind, value in ((0xCC, left), (0xBB, top), (0xDD, right), (0xAA, bottom))
    )
    at = data.rindex(bytes.fromhex("1654ae6b"))  # Tracks, which the index also names
    starts, end = [at + 4], at + 4
    for kind in (0xAE, 0xE0):  # TrackEntry, Video
        at = starts[-1] + _sized(data, starts[-1])[0]
        while data[at] != kind:
            at += 9 - data[at].bit_length()
            at += sum(_sized(data, at))
        starts.append(at + 1)
        end = at + 1 + sum(_sized(data, at + 1))
    grown = bytearray(data[:end] + crop + data[end:])
    for start in starts:
        length, size = _sized(data, start)
        grown[start : start + length] = (size + len(crop) | 1 << 7 * length).to_bytes(length, "big")
    path.write_bytes(bytes(grown))
    return path


def _sized(data: bytes, at: int) -> tuple[int, int]:
    """How many bytes the size of an element takes, and the size."""
    length = 9 - data[at].bit_length()
    return length, int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
