"""A video from elsewhere, decoded in the jail: sizes, times and pixels come out of it, nothing else.

A decoder is much C code that reads a stranger's bytes. Whatever they make it do, this process gets
frames of the size that it asked for and encodes them anew; all that comes later reads our own file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from reelward.motion import video
from reelward.motion.video import MAX_SECONDS, MAX_SIDE, Frame, Info, VideoError
from reelward.runtime.jail import JailError, JailMissing, jailed, streamed
from reelward.runtime.settings import setting

CPU_SECONDS = 900.0
"""enough for 200 MB of film, whatever its size and codec"""
MEMORY = 6 << 30
"""address space, in which a decoder holds some twenty frames of the largest size"""
HEAD = struct.Struct("<qdHH")
"""before the pixels of a frame: index, time, height, width"""


def probe(path: Path) -> Info:
    """`video.probe` in the jail. Raises VideoError, JailMissing."""
    with _refusals(path):
        found = jailed("reelward.motion.foreign:probed", {"path": str(path)}, **_limits(path))
        width, height = int(found["width"]), int(found["height"])
        fps, seconds = float(found["fps"]), float(found["seconds"])
        if not (0 < min(width, height) and max(width, height) <= MAX_SIDE):
            raise ValueError
        if not (0 < fps < math.inf and 0 <= seconds <= MAX_SECONDS):
            raise ValueError
    return Info(width, height, fps, seconds)


def frames(path: Path, *, start: float, stop: float, side: int) -> Iterator[Frame]:
    """`video.frames` in the jail. Raises VideoError, JailMissing."""
    asked = {"path": str(path), "start": start, "stop": stop, "side": side}
    with _refusals(path):
        for chunk in streamed("reelward.motion.foreign:decoded", asked, **_limits(path)):
            index, time, height, width = HEAD.unpack_from(chunk)
            if not (start <= time < stop and max(height, width) <= side):
                raise ValueError
            pixels = np.frombuffer(chunk, np.uint8, offset=HEAD.size)
            yield Frame(index, time, pixels.reshape(height, width, 3))


def _limits(path: Path) -> dict[str, Any]:
    return {
        "timeout": CPU_SECONDS, "memory": MEMORY, "read": [path],
        "require": setting("require_jail", False),
    }  # fmt: skip


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
        raise VideoError(f"{path}: could not be decoded ({error}); give another video") from error
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise VideoError(
            f"{path}: the decoder's answer makes no sense: give another video"
        ) from error


# -- in the jail


def probed(asked: dict[str, Any]) -> dict[str, Any]:
    return asdict(video.probe(Path(asked["path"])))


def decoded(asked: dict[str, Any]) -> Iterator[bytes]:
    path = Path(asked.pop("path"))
    for frame in video.frames(path, **asked):
        height, width = frame.image.shape[:2]
        yield HEAD.pack(frame.index, frame.time, height, width) + frame.image.tobytes()
