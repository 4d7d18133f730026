"""Shots of a film: where it is cut, and which of them shows the motion best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, HashDetector

from reelward.motion.video import Frame

AGREE = 3
"""cuts of two detectors within this many frames are the same cut"""
SHORTEST_S = 1.0
TALL = 0.15
"""a subject of this fraction of the picture's height is large enough"""


@dataclass(frozen=True)
class Shot:
    """Frames [first, last) of the file, times (s) [start, stop)."""

    first: int
    last: int
    start: float
    stop: float

    @property
    def seconds(self) -> float:
        return self.stop - self.start


@dataclass(frozen=True)
class Rank:
    """How well a shot shows a motion: the score is the product of parts in [0, 1]."""

    shot: int
    kind: str
    """person, silhouette or none"""
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return math.prod(self.parts.values()) if self.kind != "none" else 0.0


@dataclass(frozen=True)
class Glance:
    """What a single frame of a shot shows."""

    kind: str
    """person, silhouette or none"""
    bodies: int = 0
    height: float = 0.0
    """of the largest body, as a fraction of the picture's"""
    whole: bool = False
    """whether the largest body is wholly inside the picture"""


def find_shots(stream: Iterable[Frame], fps: float) -> list[Shot]:
    """All shots of a video; one if it has no cut. A cut counts if two of three detectors (adaptive and
    plain change of content, perceptual hash) report it within `AGREE` frames."""
    detectors = [AdaptiveDetector(), ContentDetector(), HashDetector()]
    seen: list[list[int]] = [[] for _ in detectors]
    times: list[float] = []
    for frame in stream:
        small = _small(frame.image)
        stamp = FrameTimecode(frame.index, fps)
        for cuts, detector in zip(seen, detectors, strict=True):
            cuts += [c.frame_num for c in detector.process_frame(stamp, small)]
        times.append(frame.time)
    last = FrameTimecode(max(len(times) - 1, 0), fps)
    for cuts, detector in zip(seen, detectors, strict=True):
        cuts += [c.frame_num for c in detector.post_process(last)]
    starts = [0, *agreed(seen)]
    times.append(times[-1] + 1 / fps if times else 0.0)
    return [
        Shot(a, b, times[a], times[b])
        for a, b in zip(starts, [*starts[1:], len(times) - 1], strict=True)
    ]


def agreed(seen: Sequence[Sequence[int]]) -> list[int]:
    """Cuts that at least two detectors report within `AGREE` frames, at the median of their frames."""
    marks = sorted((cut, i) for i, cuts in enumerate(seen) for cut in cuts)
    groups: list[list[tuple[int, int]]] = []
    for mark in marks:
        if groups and mark[0] - groups[-1][0][0] <= AGREE:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    several = [g for g in groups if len({i for _, i in g}) >= 2]
    return [int(np.median([cut for cut, _ in g])) for g in several if g[0][0] > 0]


def judge(index: int, shot: Shot, glances: Sequence[Glance]) -> Rank:
    """The rank of a shot from some of its frames."""
    kinds = [g.kind for g in glances if g.kind != "none"]
    if not kinds or shot.seconds < SHORTEST_S:
        return Rank(index, "none")
    kind = max(("person", "silhouette"), key=kinds.count)
    mine = [g for g in glances if g.kind == kind]
    alone = sum(1.0 if g.bodies == 1 else 0.5 for g in mine) / len(glances)
    parts = {
        "subject": min(1.0, alone / 0.8),
        "whole": float(np.mean([g.whole for g in mine])),
        "size": min(1.0, float(np.median([g.height for g in mine])) / TALL),
        "length": min(1.0, shot.seconds / 2.0),
    }
    return Rank(index, kind, parts)


def measured(rank: Rank, *, drift: float, strength: float, cycles: float) -> Rank:
    """The rank of a shot that was followed. `drift` is the camera's (picture heights per second),
    `strength` the autocorrelation at the period (0 without one), `cycles` their number."""
    more = {
        "steady": 1 / (1 + drift),
        "periodic": 0.25 + 0.75 * max(0.0, strength),
        "cycles": min(1.0, max(cycles, 0.5) / 2),
    }
    return Rank(rank.shot, rank.kind, rank.parts | more)


def _small(image: np.ndarray) -> np.ndarray:
    scale = min(1.0, 256 / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
