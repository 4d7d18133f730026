"""Video files in and out: the only place that decodes or encodes pictures.

A file is decoded as a stream of frames by their own time stamps, upright (rotation metadata is
applied) and no larger than asked for; nothing holds a whole video in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

MAX_SIDE = 8192
MAX_SECONDS = 600.0
"""maximum length: a video is always decoded from its beginning"""
REPEATED = 20.0
"""maximum difference (grey levels of 255) between a frame and its repetition, due to compression"""


class VideoError(ValueError):
    """A video that cannot be used, in one line."""

    code = 3


@dataclass(frozen=True)
class Info:
    """Upright size (pixels), mean rate and length (s), as the file declares them."""

    width: int
    height: int
    fps: float
    seconds: float


@dataclass(frozen=True)
class Frame:
    """A picture of a video: number in the file (from 0), time (s, 0 for the first frame), and RGB
    `[H, W, 3]` uint8."""

    index: int
    time: float
    image: np.ndarray


def probe(path: Path) -> Info:
    """Size, rate and length. Raises VideoError."""
    with _open(path) as box:
        stream = box.streams.video[0]
        first = next(_decoded(path, box), None)
        if first is None:
            raise VideoError(f"{path}: expected frames, got none; the file is cut off or damaged")
        width, height = first.width, first.height
        if round(first.rotation) % 180:
            width, height = height, width
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return Info(width, height, float(rate), _declared(box))


def frames(
    path: Path, *, start: float = 0.0, stop: float | None = None, side: int = 960
) -> Iterator[Frame]:
    """The frames whose time lies in [start, stop) seconds, scaled so that the longer side has at
    most `side` pixels. Raises VideoError for a file that is no video, damaged, cut off (it ends
    before nine tenths of the length it declares), too large or too long."""
    with _open(path) as box:
        zero, last, step = None, 0.0, 0.0
        for index, frame in enumerate(_decoded(path, box)):
            time = frame.time if frame.time is not None else last + step
            zero = time if zero is None else zero
            step, last = max(time - zero - last, 0.0), time - zero
            if stop is not None and last >= stop:
                return
            if last >= start:
                yield Frame(index, last, _picture(frame, side))
        declared = _declared(box)
        if zero is None or last + 2 * step < 0.9 * declared:
            raise VideoError(
                f"{path}: expected {declared:.1f} s of video, got {last:.1f} s; "
                "the file is cut off: fetch it again"
            )


def repeats(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether one thumbnail repeats another, as in an animation of 12 pictures a second at 24 fps."""
    return bool(np.abs(now - before).max() <= REPEATED)


def thumbnail(image: np.ndarray, width: int = 96) -> np.ndarray:
    """Grey `[h, width]` float32 for comparing pictures."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def encode_mp4(images: Iterable[np.ndarray], fps: float, quality: int = 23) -> bytes:
    """An mp4 (H.264) of RGB pictures `[H, W, 3]` of one size; odd edges are cut.

    Its index comes first, so that it plays while it loads. It is encoded on one thread and holds no
    date, so that equal pictures give equal bytes.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with tempfile.TemporaryDirectory() as folder:  # FFmpeg moves the index in a file only
        path = Path(folder) / "film.mp4"
        with av.open(str(path), "w", options={"movflags": "faststart"}) as box:
            stream = None
            for image in images:
                even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
                if stream is None:
                    stream = box.add_stream("libx264", rate=rate)
                    stream.height, stream.width = even.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    # x264's macroblock tree gives different bytes in about one run of ten
                    settings: dict[str, object] = {"crf": str(quality), "preset": "medium"}
                    stream.options = settings | {"x264-params": "mbtree=0"}
                    stream.codec_context.thread_count = 1
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
                box.mux(stream.encode(picture))
            if stream is None:
                raise VideoError("expected pictures to write, got none")
            box.mux(stream.encode())
        return path.read_bytes()


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """JPEG of an RGB picture `[H, W, 3]`."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _open(path: Path) -> av.container.InputContainer:
    if not path.is_file():
        raise VideoError(f"{path}: expected a video file, got none")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: expected a video, the file is empty")
    try:
        # A playlist inside a file must not make us open other addresses.
        box = av.open(str(path), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, ValueError) as e:
        raise VideoError(
            f"{path}: expected a video, got something else or a file without its index "
            f"({type(e).__name__}); give an mp4, webm, mov, mkv or gif"
        ) from e
    fault = _fault(box)
    if fault:
        box.close()
        raise VideoError(f"{path}: {fault}")
    box.streams.video[0].thread_type = "AUTO"
    return box


def _fault(box: av.container.InputContainer) -> str | None:
    if not box.streams.video:
        kinds = ", ".join(s.type for s in box.streams) or "nothing"
        return f"expected a video stream, got {kinds}"
    code = box.streams.video[0].codec_context
    if code is None:
        return "expected a video that FFmpeg decodes: its codec is unknown, or the file is cut off"
    if max(code.width, code.height) > MAX_SIDE:
        return f"expected at most {MAX_SIDE} pixels a side, got {code.width} x {code.height}"
    if _declared(box) > MAX_SECONDS:
        return (
            f"expected at most {MAX_SECONDS:.0f} s, got {_declared(box):.0f} s; cut the file: "
            "ffmpeg -ss START -t SECONDS -i FILE part.mp4"
        )
    return None


def _declared(box: av.container.InputContainer) -> float:
    """Length (s) that the file declares, 0 if it declares none."""
    stream = box.streams.video[0]
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (box.duration or 0) / 1e6


def _decoded(path: Path, box: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    try:
        yield from box.decode(video=0)
    except (av.error.FFmpegError, ValueError) as e:
        raise VideoError(f"{path}: damaged, decoding stopped ({type(e).__name__})") from e


def _picture(frame: av.VideoFrame, side: int) -> np.ndarray:
    scale = min(1.0, side / max(frame.width, frame.height))
    width, height = (max(2, round(n * scale)) for n in (frame.width, frame.height))
    image = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
