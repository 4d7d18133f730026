"""A person on video, from pictures to a track in one plane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reelward.motion.camera import Camera, moved
from reelward.motion.pose import NAMES, Follower, Pose
from reelward.motion.track import Scale, Track, on_clock
from reelward.motion.video import Frame, VideoError, repeats, thumbnail

GAP_S = 0.25
"""gaps without a pose up to this length are bridged"""
LEAST_S = 1.0
"""minimum length of a usable stretch"""
EDGE = np.array([0.02, 0.005])
"""margins (fractions of width and height) that do not count as in view: the pose model places a foot
that has left the picture just inside its edge"""
BODY = tuple(n for n in NAMES if not n.endswith(("elbow", "wrist")))
"""points that must be in view; hands may leave"""
HIP = NAMES.index("hip")
LEG = 0.53
"""leg length, hip joint to ground, as a fraction of stature; it turns the assumed stature into metres"""
STATURE_ERROR = 0.05
"""relative uncertainty of the leg length in metres"""
FRONTAL = 0.4
"""with a larger ratio of shoulder width to trunk length, a body is seen from the front or the back"""
LOOKS = 0.04
"""if the toes are ahead of the heels by more than this fraction of the body's height, they tell where
the body looks"""
UPRIGHT_DEG, TILTED = 45.0, 0.2
"""largest angle of an upright trunk against the vertical, and the fraction of the frames that may exceed it"""


class NotUpright(VideoError):
    """A body that is not upright in the picture."""


@dataclass(frozen=True)
class Followed:
    """The points of one person through a shot."""

    times: np.ndarray
    """[T] s"""
    indices: np.ndarray
    """[T] frame numbers"""
    points: np.ndarray
    """[T, K, 2] pixels, named by `pose.NAMES`"""
    confidence: np.ndarray
    """[T, K]"""
    views: np.ndarray
    """[T, 3, 3] from a picture's pixels to those of the first picture"""
    camera: float
    """fraction of the frames in which the camera's motion is known"""
    dropped: int
    """frames that only repeat the one before"""

    @property
    def seconds(self) -> float:
        return float(self.times[-1] - self.times[0])

    @property
    def drift(self) -> float:
        """Mean speed of the camera (pixels per second)."""
        steps = np.diff(self.views[:, :2, 2], axis=0)
        return float(np.linalg.norm(steps, axis=1).sum() / max(self.seconds, 1e-6))


def follow(stream: Iterable[Frame], follower: Follower) -> Followed | None:
    """The longest stretch in which the person is wholly in view, or None if it is shorter than
    `LEAST_S`. Frames that repeat the one before are dropped."""
    camera = Camera()
    runs: list[list[tuple[float, int, Pose, np.ndarray]]] = [[]]
    dropped, box, before = 0, None, None
    for frame in stream:
        small = thumbnail(frame.image)
        if before is not None and repeats(before, small):
            dropped += 1
            continue
        before = small
        pose = follower.step(frame.image)
        box = pose.box if pose else box
        view = camera.step(frame.image, box)
        if pose is None:
            continue
        if not in_view(pose, frame.image) or (runs[-1] and _breaks(runs[-1][-1], frame, pose)):
            runs.append([])
        if in_view(pose, frame.image):
            runs[-1].append((frame.time, frame.index, pose, view))
    best = max(runs, key=len)
    if len(best) < 8 or best[-1][0] - best[0][0] < LEAST_S:
        return None
    times, indices, poses, views = zip(*best, strict=True)
    return Followed(
        times=np.array(times),
        indices=np.array(indices),
        points=np.array([p.points for p in poses]),
        confidence=np.array([p.confidence for p in poses]),
        views=np.array(views),
        camera=camera.known_fraction,
        dropped=dropped,
    )


def _breaks(last: tuple[float, int, Pose, np.ndarray], frame: Frame, pose: Pose) -> bool:
    """The person was lost for too long, or this is another person: the hip jumped by half a body."""
    jump = pose.points[HIP] - last[2].points[HIP]
    _, top, _, bottom = pose.box
    return frame.time - last[0] > GAP_S or bool(np.linalg.norm(jump) > 0.5 * (bottom - top))


def in_view(pose: Pose, image: np.ndarray) -> bool:
    """Whether all points of head, trunk and legs lie inside the picture, not at its edge."""
    size = np.array([image.shape[1], image.shape[0]])
    points = pose.points[[NAMES.index(n) for n in BODY]] / size
    return bool(((points > EDGE) & (points < 1 - EDGE)).all())


def to_track(seen: Followed) -> tuple[Track, bool]:
    """The track without the camera's motion, y up, and whether it is the picture mirrored left to right.

    The toes point along +x, so walking backwards has a negative speed. If the toes do not tell,
    travel is along +x.
    """
    world = np.array([moved(v, p) for v, p in zip(seen.views, seen.points, strict=True)])
    track = on_clock(seen.times, world * [1, -1], seen.confidence, NAMES)
    body = np.ptp(track.points[..., 1], axis=1).max()
    way, looks = track.centre[-1, 0] - track.centre[0, 0], facing(track)
    turned = bool((looks if abs(looks) > LOOKS * body else way) < 0)
    if turned:
        points = track.points * np.array([-1, 1], np.float32)
        track = Track(points, track.confidence, track.fps, track.names)
    return track, turned


def require_upright(track: Track) -> None:
    """Raises NotUpright if the line from hip to shoulder is not upright. Then the film is turned, or the
    body lies, crawls, falls or turns over."""
    up = track.point("shoulder") - track.centre
    angle = np.abs(np.degrees(np.arctan2(up[:, 0], up[:, 1])))
    tilted = angle > UPRIGHT_DEG
    if tilted.mean() > TILTED:
        raise NotUpright(
            f"expected an upright body, got one turned by {np.median(angle[tilted]):.0f} degrees in "
            f"{100 * tilted.mean():.0f} % of the pictures: turn the film upright before it is fetched; "
            "a body that lies, crawls, falls or turns over has no gait to measure"
        )


def facing(track: Track) -> float:
    """Mean of toe minus heel along x: positive if the body looks along +x."""
    ways = [track.point(f"{g}_toe") - track.point(f"{g}_heel") for g in track.legs]
    return float(np.mean([w[:, 0] for w in ways]))


def near_leg(track: Track, turned: bool) -> str:
    """The leg at the camera's side: the left one if the person looks to the left of the picture."""
    looks_left = (facing(track) < 0) != turned
    return "left" if looks_left else "right"


def scale_of(track: Track, stature: float, time_scale: float | None) -> Scale:
    """The scale of a video: the leg's pixels are measured, its metres come from the stature.

    The leg is the mean of both legs, because the hip lies between them. A limb that turns out of the
    picture's plane looks shorter, so thigh and shank are their 75th percentiles. The uncertainty is
    half the difference between the clip's halves.
    """
    smooth = track.smooth()
    half = track.seconds / 2
    whole, first, second = (
        float(np.mean([_leg(t, g) for g in t.legs]))
        for t in (smooth, smooth.cut(0, half), smooth.cut(half))
    )
    return Scale(whole, LEG * stature, abs(first - second) / 2 / whole, STATURE_ERROR, time_scale)


def _leg(track: Track, leg: str) -> float:
    hip, knee, ankle = (track.point(f"{leg}_{n}") for n in ("hip", "knee", "ankle"))
    sole = np.minimum(track.point(f"{leg}_heel")[:, 1], track.point(f"{leg}_toe")[:, 1])
    thigh, shank = (np.linalg.norm(d, axis=1) for d in (hip - knee, knee - ankle))
    return float(
        np.percentile(thigh, 75) + np.percentile(shank, 75) + np.percentile(ankle[:, 1] - sole, 20)
    )


def frontal(track: Track) -> bool:
    """Whether the body is seen from the front or the back: the shoulders are far apart."""
    wide = np.abs(track.point("right_shoulder")[:, 0] - track.point("left_shoulder")[:, 0])
    long = np.linalg.norm(track.point("shoulder") - track.point("hip"), axis=1)
    return bool(np.median(wide) > FRONTAL * np.median(long))
