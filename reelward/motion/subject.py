"""The subject of one shot, followed: a person by pose, another body by its outline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from reelward.motion import person, silhouette
from reelward.motion.cycle import Period, Pick, gait_period, keyframes
from reelward.motion.figure import bones
from reelward.motion.ground import ground_speed, over_ground
from reelward.motion.pose import Follower
from reelward.motion.sheet import BODY, Stroke, body_height, ground_in_tile, ground_under
from reelward.motion.track import Scale, Track
from reelward.motion.video import Frame, repeats, thumbnail

CAMERA_KNOWN = 0.8
"""fraction of the frames in which the background must tell the camera's motion"""


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
    drawings: list[list[Stroke]]
    """what was followed in each keyframe; points in fractions of the picture's height"""
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
    ground: float | None
    """speed of the ground under the feet (leg lengths per second of the video, forward positive), which the
    track no longer contains: 0 where the ground stands, None if it is unknown"""


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
    pictures (pixels). None if the person is not wholly in view for long enough.
    Raises `person.NotUpright`."""
    seen = person.follow(stream, follower)
    if seen is None:
        return None
    return from_points(seen, high, count=count, stature=stature, time_scale=time_scale)


def from_points(
    seen: person.Followed, high: int, *, count: int, stature: float, time_scale: float | None
) -> Person:
    """The person from the points of each frame. Raises `person.NotUpright`."""
    track, turned = person.to_track(seen)
    person.require_upright(track)
    scale = person.scale_of(track, stature, time_scale)
    period = gait_period(track, scale.leg)
    known = seen.camera >= CAMERA_KNOWN
    ground = 0.0 if known else None
    if period:
        ground = ground_speed(track, scale.leg, camera_known=known)
        track = over_ground(track, scale.leg, ground) if ground else track
    picks = keyframes(track, scale.leg, count)
    # From the track's even clock back to the frames of the file.
    when = [seen.times[0] + p.time for p in picks]
    rows = [int(np.argmin(np.abs(seen.times - t))) for t in when]
    reach = round((period.value if period else track.seconds) * track.fps)
    floor = ground_under(seen.points[..., 1].max(axis=1), reach)
    between = seen.points[min(rows) : max(rows) + 1]
    height = body_height(Track(between, between[..., 0], track.fps, track.names))
    floor = ground_in_tile(floor, seen.points[..., 1].min(axis=1), height)
    hip = seen.points[:, track.names.index("hip"), 0]
    return Person(
        track=track,
        period=period,
        picks=[
            Pick(int(seen.indices[r]), float(seen.times[r]), p.phase)
            for r, p in zip(rows, picks, strict=True)
        ],
        places=[Place(float(hip[r]) / high, float(floor[r]) / high, height / high) for r in rows],
        drawings=[_skeleton(seen.points[r] / high, track.names) for r in rows],
        duplicates=seen.dropped,
        scale=scale,
        stature=stature,
        near=person.near_leg(track, turned),
        flip=turned,
        drift=seen.drift / high,
        camera=seen.camera,
        ground=ground,
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
    floor_row = silhouette.ground_row([o.all for o in outlines if o])
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
        drawings=[_contour(outlines[p.frame], floor_row, high) for p in picks],
        duplicates=int(dropped),
        flying=flying,
    )


def _skeleton(points: np.ndarray, names: tuple[str, ...]) -> list[Stroke]:
    return [Stroke(side, points[[a, b]]) for a, b, side in bones(names)]


def _contour(outline: silhouette.Outline | None, ground: int | None, high: int) -> list[Stroke]:
    if outline is None:
        return []
    mask = silhouette.above(outline, ground).mask.astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [Stroke(0, np.vstack([c[:, 0], c[:1, 0]]) / high) for c in contours]
