"""The subject of one shot, followed and measured: a person by pose, another body by outline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from reelward.motion import person, silhouette
from reelward.motion.closeness import repeatable
from reelward.motion.course import courses
from reelward.motion.cycle import Period, Pick, gait_period, keyframes
from reelward.motion.descriptors import SKEWS, UNITS, Descriptor, describe, spans, spread
from reelward.motion.pose import Follower
from reelward.motion.record import Motion
from reelward.motion.sheet import BODY, body_height, ground_under
from reelward.motion.track import Track
from reelward.motion.video import Frame, repeats, thumbnail

ALIKE = "the legs do not take turns, or differ by no more than the pose model's error"
BLIND = "no descriptor is usable: only a critic that looks at the pictures can compare with this"


@dataclass(frozen=True)
class Place:
    """Where a subject is in a picture: middle, ground and height as shares of the picture's
    height, so that it holds for the same picture at another size."""

    centre: float
    ground: float
    height: float


@dataclass(frozen=True)
class Subject:
    """A measured subject. `picks`: numbers and times are the file's; `places` beside them; `flip`:
    the track is the picture turned left to right; `drift`: of the camera (picture heights a
    second)."""

    motion: Motion
    track: Track
    picks: list[Pick]
    places: list[Place]
    flip: bool
    drift: float


def follow_person(
    stream: Iterable[Frame],
    follower: Follower,
    high: int,
    *,
    count: int,
    stature: float,
    time_scale: float | None,
) -> Subject | None:
    """The person that `follower` follows, measured, with `count` keyframes; `high` is the height
    of the pictures (pixels). None if it is not wholly in view long enough."""
    seen = person.follow(stream, follower)
    if seen is None:
        return None
    return measure_person(seen, high, count=count, stature=stature, time_scale=time_scale)


def measure_person(
    seen: person.Followed, high: int, *, count: int, stature: float, time_scale: float | None
) -> Subject:
    """The same from the points that were followed."""
    track, turned = person.to_track(seen)
    near = person.near_leg(track, turned)
    scale = person.scale_of(track, stature, time_scale)
    doubts = person.distrust(track, seen, near)
    period = gait_period(track, scale.leg)
    found = describe(track, scale, near=near, distrust=doubts)
    limps, of_both = person.limps(found, near), describe(track, scale, distrust=doubts)
    for name in SKEWS:
        if name in limps:
            mean = name.removesuffix("_skew")
            found[mean] = of_both[mean]
        else:
            found[name] = replace(found[name], usable=False, why=found[name].why or ALIKE)
    told = track.legs if "knee_skew" in limps else (near,)
    whose = f"those of the {near} leg, the other is hidden in part"
    if "knee_skew" in limps:
        whose = "the means of both legs, which differ"
    found = repeatable(found)
    found["height"] = person.unless_upright(found["height"])
    motion = Motion(
        subject="person",
        fps=track.fps,
        seconds=track.seconds,
        time_scale=time_scale,
        leg_length_m=scale.metres,
        period=_in_world(period, time_scale),
        descriptors=found,
        keypoints=track.names,
        duplicates_dropped=seen.dropped,
        notes=(
            f"seen from its {near} side; knee and thigh are {whose}",
            f"leg length {scale.metres:.3f} m is {person.LEG} of an assumed stature of {stature} m "
            f"(+-{100 * person.STATURE_ERROR:.0f} %)",
            f"the camera moved by {seen.drift / high:.2f} picture heights a second, taken out",
            *_common(period, time_scale),
            *[BLIND] * (not any(d.usable for d in found.values())),
        ),
        courses={} if "thigh" in doubts else courses(track, scale.leg, period, told),
    )
    picks = keyframes(track, scale.leg, count)
    # From the track's even clock back to the frames of the file.
    when = [seen.times[0] + p.time for p in picks]
    rows = [int(np.argmin(np.abs(seen.times - t))) for t in when]
    reach = round((period.value if period else track.seconds) * track.fps)
    ground = ground_under(seen.points[..., 1].max(axis=1), reach)
    shown = seen.points[min(rows) : max(rows) + 1]
    height = body_height(Track(shown, shown[..., 0], track.fps, track.names))
    hip = seen.points[:, track.names.index("hip"), 0]
    return Subject(
        motion,
        track,
        [
            Pick(int(seen.indices[r]), float(seen.times[r]), p.phase)
            for r, p in zip(rows, picks, strict=True)
        ],
        [Place(float(hip[r]) / high, float(ground[r]) / high, height / high) for r in rows],
        turned,
        seen.drift / high,
    )


def follow_outline(
    stream: Iterable[Frame], *, count: int, time_scale: float | None
) -> Subject | None:
    """The body before a plain background, with `count` keyframes; None if the gate closes or
    nothing moves. Repeated frames stay in: they are the clock of a looped film."""
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
    found = silhouette.measure(outlines, 1.0 / float(np.median(np.diff(times))))
    if found is None:
        return None
    track, flying = found
    height = body_height(track) / 1.1
    period = gait_period(track, height)
    if period is None:
        return None
    air = np.array([flying[a:b].mean() for a, b in spans(track, period)])
    # A held picture is the least time that can be told apart.
    step = (dropped + 1) / (len(times) - dropped) / track.fps / period.value
    why = "an outline has no joints, and no leg length to measure by"
    descriptors = {n: Descriptor(None, u, 0.0, False, why) for n, u in UNITS.items()}
    descriptors["airborne"] = Descriptor(
        float(flying.mean()), UNITS["airborne"], max(spread(air), step), True
    )
    motion = Motion(
        subject="silhouette",
        fps=track.fps,
        seconds=track.seconds,
        time_scale=time_scale,
        leg_length_m=None,
        period=_in_world(period, time_scale),
        descriptors=descriptors,
        keypoints=track.names,
        duplicates_dropped=int(dropped),
        notes=(
            "no person found: measured from the outline before a plain background",
            "only the period and the time off the ground are measured; speed, steps and joints "
            "cannot be had from an outline",
            "left and right are as in the picture",
            *_common(period, time_scale),
        ),
    )
    picks = keyframes(track, height, count)
    floor = float(np.percentile(-track.point("lowest")[:, 1], 90))
    right, left = track.point("rightmost")[:, 0], track.point("leftmost")[:, 0]
    middle = float(np.median(right + left)) / 2
    # A long body must fit its tile too.
    size = max(1.1 * height, BODY / 0.95 * float(np.ptp([right.max(), left.min()])))
    return Subject(
        motion,
        track,
        [replace(p, frame=indices[p.frame], time=times[p.frame]) for p in picks],
        [Place(middle / high, floor / high, size / high)] * len(picks),
        False,
        0.0,
    )


def _in_world(period: Period | None, time_scale: float | None) -> Period | None:
    if period is None or time_scale is None:
        return period
    return replace(
        period, value=period.value * time_scale, uncertainty=period.uncertainty * time_scale
    )


def _common(period: Period | None, time_scale: float | None) -> tuple[str, ...]:
    notes = []
    if period is None:
        notes.append("no period found: the pictures are equal shares of the movement")
    if time_scale is None:
        notes.append(
            "time scale unknown: speed and cadence are left out, the period is the video's"
        )
    return tuple(notes)
