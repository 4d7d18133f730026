"""The subject of one shot, followed: a person by pose, another body by its outline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from reelward.motion import person, silhouette
from reelward.motion.cycle import Period, Pick, gait_period, keyframes
from reelward.motion.pose import Follower
from reelward.motion.sheet import BODY, body_height, ground_under
from reelward.motion.track import Scale, Track
from reelward.motion.video import Frame, repeats, thumbnail


@dataclass(frozen=True)
class Place:
    """Where a subject is in a picture: its middle, ground and height as fractions of the picture's
    height, so that they hold for the same picture at another size."""

    centre: float
    ground: float
    height: float


@dataclass(frozen=True)
class Subject:
    """A body that was followed through a shot."""

    track: Track
    period: Period | None
    """in seconds of the video"""
    picks: list[Pick]
    """the keyframes; frame numbers and times are those of the file"""
    places: list[Place]
    """where the subject is in each keyframe"""
    duplicates: int
    """frames that only repeat the one before"""


@dataclass(frozen=True)
class Person(Subject):
    """A person, followed by pose."""

    scale: Scale
    stature: float
    """assumed (m)"""
    near: str
    """the leg at the camera's side"""
    flip: bool
    """whether the track is the picture mirrored left to right"""
    drift: float
    """speed of the camera (picture heights per second)"""
    camera: float
    """fraction of the frames in which the camera's motion is known"""


@dataclass(frozen=True)
class Silhouette(Subject):
    """Another body, followed by its outline."""

    flying: np.ndarray
    """`[T]` bool: whether it is off the ground"""


def follow_person(
    stream: Iterable[Frame],
    follower: Follower,
    high: int,
    *,
    count: int,
    stature: float,
    time_scale: float | None,
) -> Person | None:
    """The person that `follower` finds, with `count` keyframes. `high` is the height of the
    pictures (pixels). None if the person is not wholly in view for long enough."""
    seen = person.follow(stream, follower)
    if seen is None:
        return None
    return from_points(seen, high, count=count, stature=stature, time_scale=time_scale)


def from_points(
    seen: person.Followed, high: int, *, count: int, stature: float, time_scale: float | None
) -> Person:
    """The person from the points of each frame."""
    track, turned = person.to_track(seen)
    scale = person.scale_of(track, stature, time_scale)
    period = gait_period(track, scale.leg)
    picks = keyframes(track, scale.leg, count)
    # From the track's even clock back to the frames of the file.
    when = [seen.times[0] + p.time for p in picks]
    rows = [int(np.argmin(np.abs(seen.times - t))) for t in when]
    reach = round((period.value if period else track.seconds) * track.fps)
    ground = ground_under(seen.points[..., 1].max(axis=1), reach)
    between = seen.points[min(rows) : max(rows) + 1]
    height = body_height(Track(between, between[..., 0], track.fps, track.names))
    hip = seen.points[:, track.names.index("hip"), 0]
    return Person(
        track=track,
        period=period,
        picks=[
            Pick(int(seen.indices[r]), float(seen.times[r]), p.phase)
            for r, p in zip(rows, picks, strict=True)
        ],
        places=[Place(float(hip[r]) / high, float(ground[r]) / high, height / high) for r in rows],
        duplicates=seen.dropped,
        scale=scale,
        stature=stature,
        near=person.near_leg(track, turned),
        flip=turned,
        drift=seen.drift / high,
        camera=seen.camera,
    )


def follow_outline(stream: Iterable[Frame], *, count: int) -> Silhouette | None:
    """The body before a plain background, with `count` keyframes. None if there is no clear outline or
    nothing moves periodically. Repeated frames are kept: they are the clock of a looped film."""
    times, indices, outlines = [], [], []
    dropped, high, before = 0, 1, None
    for frame in stream:
        small = thumbnail(frame.image)
        dropped += before is not None and repeats(before, small)
        before, high = small, frame.image.shape[0]
        times.append(frame.time)
        indices.append(frame.index)
        outlines.append(silhouette.outline(frame.image))
    if len(times) < 8:
        return None
    measured = silhouette.measure(outlines, 1.0 / float(np.median(np.diff(times))))
    if measured is None:
        return None
    track, flying = measured
    height = body_height(track) / 1.1
    period = gait_period(track, height)
    if period is None:
        return None
    picks = keyframes(track, height, count)
    floor = float(np.percentile(-track.point("lowest")[:, 1], 90))
    right, left = track.point("rightmost")[:, 0], track.point("leftmost")[:, 0]
    middle = float(np.median(right + left)) / 2
    # A long body must fit its tile too.
    size = max(1.1 * height, BODY / 0.95 * float(np.ptp([right.max(), left.min()])))
    return Silhouette(
        track=track,
        period=period,
        picks=[replace(p, frame=indices[p.frame], time=times[p.frame]) for p in picks],
        places=[Place(middle / high, floor / high, size / high)] * len(picks),
        duplicates=int(dropped),
        flying=flying,
    )
