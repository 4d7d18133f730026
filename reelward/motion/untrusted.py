"""Decode an untrusted video in the jail. Only sizes, times and pixels come out.

A decoder is a large amount of C code that reads untrusted bytes. Even if they take it over, this process
gets frames of the size that it asks for, and encodes them again; later stages read that file alone.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import numpy as np

from reelward.motion import video
from reelward.motion.video import MAX_SIDE, Frame, Info, VideoError
from reelward.runtime.jail import JailError, JailMissing, jailed, streamed
from reelward.runtime.settings import setting

CPU_SECONDS = 900.0
"""enough for 200 MB of video of any size and codec; a video is always decoded from its beginning"""
MEMORY = 6 << 30
"""bytes of address space: a decoder holds about twenty frames, up to the largest size"""
HEAD = struct.Struct("<qdHH")
"""what precedes the pixels of a frame: index, time, height, width"""


class Section(TypedDict):
    """What the jailed process is asked to decode, as JSON: the arguments of `video.frames`."""

    path: str
    start: float
    stop: float
    side: int


class Limits(TypedDict):
    """Limits of the jailed process; see `jailed`."""

    timeout: float
    memory: int
    read: list[Path]
    require: bool


def probe(path: Path) -> Info:
    """`video.probe` in the jail. Raises VideoError, JailMissing."""
    with _refusals(path):
        info = jailed("reelward.motion.untrusted:probed", {"path": str(path)}, **_limits(path))
        width, height = int(info["width"]), int(info["height"])
        fps, seconds = float(info["fps"]), float(info["seconds"])
        if not (0 < min(width, height) and max(width, height) <= MAX_SIDE):
            raise ValueError
        if not (0 < fps < math.inf and 0 <= seconds < math.inf):
            raise ValueError
    return Info(width, height, fps, seconds)


def frames(path: Path, *, start: float, stop: float, side: int) -> Iterator[Frame]:
    """`video.frames` in the jail. Raises VideoError, JailMissing."""
    section = Section(path=str(path), start=start, stop=stop, side=side)
    with _refusals(path):
        for chunk in streamed("reelward.motion.untrusted:decoded", section, **_limits(path)):
            index, time, height, width = HEAD.unpack_from(chunk)
            if not (start <= time < stop and max(height, width) <= side):
                raise ValueError
            pixels = np.frombuffer(chunk, np.uint8, offset=HEAD.size)
            yield Frame(index, time, pixels.reshape(height, width, 3))


def _limits(path: Path) -> Limits:
    require = setting("require_jail", False)
    return Limits(timeout=CPU_SECONDS, memory=MEMORY, read=[path], require=require)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """The jail's errors as VideoError."""
    try:
        yield
    except JailMissing:
        raise
    except JailError as error:
        if error.code == VideoError.code:
            raise VideoError(str(error)) from error
        raise VideoError(
            f"{path}: could not be decoded ({error}); give another video, or of a long one a part: "
            "ffmpeg -ss START -t SECONDS -i FILE part.mp4"
        ) from error
    except (ValueError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise VideoError(
            f"{path}: the decoder's answer makes no sense: give another video"
        ) from error


# -- in the jail


def probed(request: Mapping[str, str]) -> dict[str, object]:
    return asdict(video.probe(Path(request["path"])))


def decoded(section: Section) -> Iterator[bytes]:
    path, start, stop = Path(section["path"]), section["start"], section["stop"]
    for frame in video.frames(path, start=start, stop=stop, side=section["side"]):
        height, width = frame.image.shape[:2]
        yield HEAD.pack(frame.index, frame.time, height, width) + frame.image.tobytes()
