"""A track: anatomical points of one body over time, in one plane."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np

SMOOTH_S = 0.025
"""standard deviation (s) of the low-pass before every measurement; about 6 Hz, as is usual for points
digitised from video"""


@dataclass(frozen=True)
class Track:
    """Points `[T, K, 2]` float32 and their confidence `[T, K]` (0 to 1) at constant `fps`.

    x is forward and y is up. The unit is metres for a robot and pixels for a video, without the
    camera's own motion. Names are those of a robot's keypoints: `head`, `shoulder`, `hip`, and for
    each leg `right_hip`, `right_knee`, `right_ankle`, `right_heel`, `right_toe`. A body may lack some.
    """

    points: np.ndarray
    confidence: np.ndarray
    fps: float
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def seconds(self) -> float:
        return len(self.points) / self.fps

    @property
    def legs(self) -> tuple[str, ...]:
        """Prefixes of the legs (`right`, `left`, ...) that have an ankle."""
        return tuple(n[: -len("_ankle")] for n in self.names if n.endswith("_ankle"))

    def has(self, *names: str) -> bool:
        return all(n in self.names for n in names)

    def point(self, name: str) -> np.ndarray:
        """`[T, 2]` of one name. Raises KeyError for a name that the body lacks."""
        if name not in self.names:
            raise KeyError(name)
        return self.points[:, self.names.index(name)].astype(np.float64)

    @property
    def centre(self) -> np.ndarray:
        """`[T, 2]`: the hip, or the mean of the hips, or the mean of all points."""
        hips = [n for n in self.names if n == "hip"] or [
            n for n in self.names if n.endswith("_hip")
        ]
        return np.mean([self.point(n) for n in hips or self.names], axis=0)

    def cut(self, start: float, stop: float | None = None) -> Track:
        """The part between two times (s)."""
        a = round(start * self.fps)
        b = len(self) if stop is None else round(stop * self.fps)
        return replace(self, points=self.points[a:b], confidence=self.confidence[a:b])

    def finite(self) -> Track:
        """The frames before the first one with a value that is not finite."""
        bad = ~np.isfinite(self.points).all(axis=(1, 2))
        return self.cut(0, int(np.argmax(bad)) / self.fps) if bad.any() else self

    def smooth(self) -> Track:
        """The points after a Gaussian low-pass of `SMOOTH_S`."""
        return replace(self, points=smooth(self.points, SMOOTH_S * self.fps))

    def at(self, times: np.ndarray, fps: float) -> Track:
        """The points at other times (s since the first frame), by linear interpolation."""
        own = np.arange(len(self)) / self.fps
        points = _interpolate(times, own, self.points)
        return Track(points, _interpolate(times, own, self.confidence), fps, self.names)


@dataclass(frozen=True)
class Scale:
    """What turns a track into lengths and times.

    `leg`: leg length in the track's unit. `metres`: leg length in metres. `leg_error` and `error`:
    relative uncertainties of the two. `time`: seconds of the world per second of the track, None if
    unknown. `sole`: distance of the ground below the feet's points, in the track's unit.
    """

    leg: float
    metres: float
    leg_error: float = 0.0
    error: float = 0.0
    time: float | None = 1.0
    sole: float = 0.0


def on_clock(
    times: np.ndarray, points: np.ndarray, confidence: np.ndarray, names: tuple[str, ...]
) -> Track:
    """A track at constant rate from points `[T, K, 2]` at uneven `times [T]` (s). The rate is the
    inverse of the median interval; values are interpolated linearly."""
    fps = 1.0 / float(np.median(np.diff(times)))
    count = int(np.floor((times[-1] - times[0]) * fps + 1e-6)) + 1
    clock = times[0] + np.arange(count) / fps
    return Track(
        _interpolate(clock, times, points), _interpolate(clock, times, confidence), fps, names
    )


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian low-pass of `sigma` frames along the first axis."""
    radius = max(1, int(np.ceil(4 * sigma)))
    if sigma < 0.1 or len(values) < 3:
        return values
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    x = values.reshape(len(values), -1).astype(np.float64)
    # Mirrored about its end points, so that a constant speed stays constant at the ends.
    padded = np.pad(x, ((radius, radius), (0, 0)), mode="reflect", reflect_type="odd")
    out = np.stack([np.convolve(c, kernel, mode="valid") for c in padded.T], axis=1)
    return out.reshape(values.shape).astype(values.dtype)


def pack(track: Track) -> bytes:
    """The bytes of a .npz with points, confidence, fps and names. Equal tracks give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        points=track.points.astype(np.float32),
        confidence=track.confidence.astype(np.float32),
        fps=np.float64(track.fps),
        names=np.array(track.names),
    )
    return buffer.getvalue()


def unpack(data: bytes) -> Track:
    """The track of `pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as z:
        names = tuple(str(n) for n in z["names"])
        return Track(z["points"], z["confidence"], float(z["fps"]), names)


def _interpolate(at: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    flat = values.reshape(len(values), -1)
    out = np.stack([np.interp(at, times, c) for c in flat.T], axis=1)
    return out.reshape(len(at), *values.shape[1:]).astype(np.float32)
