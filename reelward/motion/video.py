"""Video files in and out: the only place that decodes or encodes pictures.

A file is decoded as a stream of frames by their own time stamps, as a player shows them (see `screen`) and
no larger than asked for; nothing holds a whole video in memory.
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
from av.filter import Graph
from av.stream import Disposition

from reelward.motion.container import margins
from reelward.motion.screen import Screen

MAX_SIDE = 8192
REPEATED = 0.15
"""maximum difference between a frame and its repetition, due to compression, as a fraction of the
picture's range: in a dark film real movement changes a pixel by few grey levels"""
MOST_REPEATED = 20.0
"""the same in grey levels of 255, however large the range"""
DELAY_S = 0.1
"""sound that begins earlier than the pictures by at most this is only delayed by its encoder"""
BACK_S, AHEAD_S = 1.0, 10.0
"""time stamps that go back, or in a broadcast ahead, by more than this come from a clock that was reset"""
BROADCAST = ("mpegts", "mpeg")
"""containers whose clock may be reset"""
WRAPPED_S = 12 * 3600.0
"""a broadcast that seems to be longer had its clock reset; that clock returns to 0 after 26.5 hours"""


class VideoError(ValueError):
    """A video that cannot be used, in one line."""

    code = 3


@dataclass(frozen=True)
class Info:
    """Size (pixels) as a player shows it, rate of the pictures (Hz), and the length (s) that the file
    declares, 0 if it declares none."""

    width: int
    height: int
    fps: float
    seconds: float


@dataclass(frozen=True)
class Frame:
    """A picture of a video: number in the file (from 0), time (s, 0 where the file begins), and RGB
    `[H, W, 3]` uint8."""

    index: int
    time: float
    image: np.ndarray


def probe(path: Path) -> Info:
    """Size, rate and length. Raises VideoError."""
    with _Source(path) as source:
        first = next(source.decoded(), None)
        if first is None:
            raise VideoError(f"{path}: expected frames, got none; the file is cut off or damaged")
        screen = source.screen(first)
        seconds = source.seconds
    if max(screen.width, screen.height) > MAX_SIDE:
        raise VideoError(
            f"{path}: expected at most {MAX_SIDE} pixels a side, got {screen.width} x {screen.height}"
        )
    with _Source(path) as source:
        rate = source.rate() * (2 if first.interlaced_frame else 1)
    return Info(screen.width, screen.height, float(rate), seconds)


def frames(
    path: Path, *, start: float = 0.0, stop: float | None = None, side: int = 960
) -> Iterator[Frame]:
    """The frames whose time lies in [start, stop) seconds, scaled so that the longer side has at most
    `side` pixels. Both fields of an interlaced frame are frames of their own.

    Raises VideoError for a file that is no video, damaged, cut off (it ends before nine tenths of the
    length it declares), or too large.
    """
    with _Source(path) as source:
        screen, clock = None, source.clock()
        for index, frame in enumerate(_progressive(source.decoded())):
            time = clock.read(frame.time)
            screen = screen or source.screen(frame, side)
            if stop is not None and time >= stop:
                return
            if time >= start:
                yield Frame(index, time, screen.show(frame))
        if screen is None or source.reached < 0.9 * source.declared:
            raise VideoError(
                f"{path}: expected {source.declared:.1f} s of video, got {source.reached:.1f} s; "
                "the file is cut off: fetch it again"
            )


def repeats(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether one thumbnail repeats another, as in an animation of 12 pictures a second at 24 fps."""
    low, high = np.percentile(before, (1, 99))
    return bool(np.abs(now - before).max() <= min(MOST_REPEATED, REPEATED * (high - low)))


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


class _Clock:
    """Times (s), which never go back, from time stamps that may be missing or wrong.

    `begin` is the stamp at which the file begins, `step` the time between two pictures, and `broadcast`
    whether the stamps may come from a clock that was reset.
    """

    def __init__(self, begin: float, step: float, broadcast: bool) -> None:
        self._begin, self._step, self._broadcast = begin, step, broadcast
        self._zero: float | None = None
        self._last = 0.0

    def read(self, stamp: float | None) -> float:
        first = self._zero is None
        if self._zero is None:
            delayed = stamp is None or stamp - self._begin <= DELAY_S
            self._zero = (stamp or 0.0) if delayed else self._begin
        due = 0.0 if first else self._last + self._step
        time = due if stamp is None else stamp - self._zero
        ahead = 0.0 if first else time - self._last
        if stamp is not None and (ahead < -BACK_S or (self._broadcast and ahead > AHEAD_S)):
            self._zero, time = stamp - due, due
        self._last = max(time, self._last)
        return self._last


class _Source:
    """An open file, and the stream of it that a player shows."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise VideoError(f"{path}: expected a video file, got none")
        if path.stat().st_size == 0:
            raise VideoError(f"{path}: expected a video, the file is empty")
        try:
            # A playlist inside a file must not make us open other addresses.
            self._box = av.open(str(path), options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, ValueError) as e:
            raise VideoError(
                f"{path}: expected a video, got something else or a file without its index "
                f"({type(e).__name__}); give an mp4, webm, mov, mkv or gif"
            ) from e
        self._path = path
        self.reached = 0.0
        """how far the file was read (s)"""
        fault = self._choose()
        if fault:
            self._box.close()
            raise VideoError(f"{path}: {fault}")
        self._stream.thread_type = "AUTO"

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._box.close()

    def _choose(self) -> str | None:
        """Choose the stream; what is wrong with it, or None."""
        pictures = Disposition.attached_pic | Disposition.timed_thumbnails
        films = [s for s in self._box.streams.video if not s.disposition & pictures]
        if not films:
            kinds = ", ".join(s.type for s in self._box.streams if s.type != "video") or "nothing"
            cover = " and a still picture" if self._box.streams.video else ""
            return f"expected a video stream, got {kinds}{cover}"
        best = self._box.streams.best("video")
        self._stream = next((s for s in films if best and s.index == best.index), films[0])
        code = self._stream.codec_context
        if code is None:
            return (
                "expected a video that FFmpeg decodes: its codec is unknown, or the file is cut off"
            )
        if max(code.width, code.height) > MAX_SIDE:
            return f"expected at most {MAX_SIDE} pixels a side, got {code.width} x {code.height}"
        return None

    @property
    def seconds(self) -> float:
        """Length (s) up to the stream's end, or of the file if the stream declares none; 0 if neither
        does."""
        base = self._stream.time_base
        if not self._stream.duration or base is None or self._broadcast:
            return self.declared
        late = float((self._stream.start_time or 0) * base) - self._begin
        return float(self._stream.duration * base) + (late if late > DELAY_S else 0.0)

    @property
    def _begin(self) -> float:
        """The time stamp (s) at which the file begins."""
        return (self._box.start_time or 0) / 1e6

    @property
    def declared(self) -> float:
        """Length (s) that the file declares, 0 if it declares none."""
        seconds = (self._box.duration or 0) / 1e6
        return 0.0 if seconds > WRAPPED_S and self._broadcast else seconds

    @property
    def _broadcast(self) -> bool:
        return self._box.format.name in BROADCAST

    def clock(self) -> _Clock:
        step = float(1 / self._declared_rate())
        return _Clock(self._begin, step, self._broadcast)

    def screen(self, frame: av.VideoFrame, side: int | None = None) -> Screen:
        numbers = [s.index for s in self._box.streams.video]
        track = self._stream.index
        crop = margins(self._path, self._box.format.name, track, numbers.index(track))
        return Screen(frame, self._stream.sample_aspect_ratio, crop, side)

    def rate(self) -> Fraction:
        """Pictures per second. The declared rate is a mean; where the pictures come unevenly, the rate
        is that of the close ones."""
        declared, stamps = self._declared_rate(), []
        for packet in self._packets():
            if packet.stream.index == self._stream.index and packet.time_base:
                stamp = packet.dts if packet.pts is None else packet.pts
                stamps += [] if stamp is None else [stamp]
        steps = np.diff(np.unique(stamps))
        if not len(steps) or not self._stream.time_base:
            return declared
        step = Fraction(round(float(np.percentile(steps, 25)))) * self._stream.time_base
        even = step and 0.9 < step * declared < 1.1
        return declared if even or not step else (1 / step).limit_denominator(1001)

    def decoded(self) -> Iterator[av.VideoFrame]:
        begun = False
        for packet in self._packets():
            if packet.stream.index != self._stream.index:
                continue
            try:
                for frame in self._stream.decode(packet):
                    begun = True
                    yield frame
            except (av.error.FFmpegError, ValueError) as e:
                # A recording may begin before the first picture that can be decoded.
                if begun or packet.size == 0:
                    raise self._damaged(e) from e

    def _declared_rate(self) -> Fraction:
        return self._stream.average_rate or self._stream.guessed_rate or Fraction(25)

    def _packets(self) -> Iterator[av.Packet]:
        # Some containers count their length from 0, others from where they begin.
        begin = min(0.0, self._begin)
        try:
            for packet in self._box.demux():
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is not None and packet.time_base:
                    end = float((stamp + (packet.duration or 0)) * packet.time_base)
                    self.reached = max(self.reached, end - begin)
                yield packet
        except (av.error.FFmpegError, ValueError) as e:
            raise self._damaged(e) from e

    def _damaged(self, error: Exception) -> VideoError:
        return VideoError(f"{self._path}: damaged, decoding stopped ({type(error).__name__})")


def _progressive(stream: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """The frames, and instead of each interlaced one two: its fields, filled up to whole pictures."""
    graph = None
    for frame in stream:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        graph = graph or _deinterlacer(frame)
        graph.push(frame)
        yield from _pulled(graph)
    if graph:
        graph.push(None)
        yield from _pulled(graph)


def _deinterlacer(frame: av.VideoFrame) -> Graph:
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        ),
        graph.add("bwdif", "mode=send_field:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _pulled(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, av.VideoFrame)
        yield frame
