"""From a track to the descriptors of its gait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from reelward.measures.descriptors import DESCRIPTORS, SPECS, UNITS, Spec
from reelward.measures.view import GRAVITY, View
from reelward.motion.course import courses
from reelward.motion.cycle import Period, gait_period
from reelward.motion.record import Descriptor, Motion
from reelward.motion.track import Scale, Track
from reelward.runtime.words import counted

TIME_UNKNOWN = "the time scale of the video is unknown"


def describe(
    track: Track,
    scale: Scale,
    *,
    near: str | None = None,
    distrust: Mapping[str, str] | None = None,
) -> dict[str, Descriptor]:
    """All descriptors, in the order of `DESCRIPTORS`.

    Joint ranges are those of the leg `near` (None: the mean of all legs). `distrust` maps each
    descriptor that this view cannot give to the reason; it keeps its value and becomes unusable.
    What the body lacks or the motion does not show is unusable too; nothing raises.
    """
    track = track.finite()
    if len(track) < 8:
        return unusable(f"only {counted(len(track), 'frame')}")
    period = gait_period(track, scale.leg)
    view = View(track.smooth(), scale, near)
    pieces = spans(track, period)
    descriptors = {spec.name: _described(spec, view, period, pieces) for spec in DESCRIPTORS}
    for name, why in (distrust or {}).items():
        descriptors[name] = replace(descriptors[name], usable=False, why=why)
    return descriptors


def unusable(why: str) -> dict[str, Descriptor]:
    """All descriptors, none of which is known."""
    return {name: Descriptor(None, unit, 0.0, False, why) for name, unit in UNITS.items()}


def _described(
    spec: Spec, view: View, period: Period | None, pieces: list[tuple[int, int]]
) -> Descriptor:
    unknown = Descriptor(None, spec.unit, 0.0, False)
    if spec.timed and view.scale.time is None:
        return replace(unknown, why=TIME_UNKNOWN)
    if not spec.keypoints(view.track.names):
        return replace(unknown, why="the body lacks the points for it")
    if period is None and spec.cyclic:
        return replace(unknown, why="no period found")
    if spec.over is None:
        assert period is not None
        to_world = np.sqrt(view.scale.metres / GRAVITY) / (view.scale.time or 1.0)
        value = float(to_world / period.value)
        uncertainty = value * period.uncertainty / period.value
    else:
        values = np.array([spec.over(view, a, b) for a, b in pieces])
        if not np.isfinite(values).all():
            return replace(unknown, why=f"{spec.unclear} to tell")
        value, uncertainty = float(values.mean()), spread(values)
        if spec.counts_frames:
            uncertainty = max(uncertainty, 1 / (pieces[-1][1] - pieces[0][0]))
    if spec.scale_error:
        uncertainty = float(np.hypot(uncertainty, spec.scale_error(view.scale) * value))
    return Descriptor(value, spec.unit, uncertainty, True)


def spans(track: Track, period: Period | None) -> list[tuple[int, int]]:
    """Stretches (first frame, one after the last) that are measured one by one: single cycles
    that cover the track, or its two halves where there is no cycle."""
    count = len(track)
    if period is None:
        return [(0, count // 2), (count // 2, count)]
    width = min(count, round(period.value * track.fps) + 1)
    pieces = max(2, int(track.seconds / period.value))
    starts = np.rint(np.linspace(0, count - width, pieces)).astype(int)
    return [(int(s), int(s) + width) for s in starts]


def spread(values: np.ndarray) -> float:
    """Uncertainty of the mean of consecutive measurements: their standard deviation, or half the
    difference between the means of the first and the second half if that is larger."""
    half = len(values) // 2
    drift = abs(values[:half].mean() - values[-half:].mean()) / 2 if half else 0.0
    return float(max(values.std(), drift))


def robot_motion(
    track: Track, robot: str, leg_length: float, survival: float, sole: float = 0.0
) -> Motion:
    """The motion of a robot from its keypoints in the side plane (m), every leg visible.

    `survival` is the fraction of the episode that the robot lived, `sole` the distance (m) of the
    ground below the feet's points. The caller cuts off the start-up (`Track.cut`).
    """
    period = gait_period(track, leg_length)
    return Motion(
        subject=f"robot:{robot}",
        fps=track.fps,
        seconds=track.seconds,
        time_scale=1.0,
        leg_length_m=leg_length,
        period=period,
        descriptors=describe(track, Scale(leg_length, leg_length, sole=sole)),
        keypoints=track.names,
        survival=survival,
        courses=courses(track, leg_length, period, track.legs),
    )


# --- tolerances ----------------------------------------------------------------------------------


def declared_tolerance(spec: Spec, value: float | None) -> float:
    return spec.tolerance * (abs(value or 0.0) if spec.relative else 1.0)


def tolerance(name: str, expert: Descriptor) -> float:
    """The difference from the expert from which on `name` earns nothing: the declared one, or the
    expert's own uncertainty where that is larger."""
    return max(declared_tolerance(SPECS[name], expert.value), expert.uncertainty, 1e-9)


def repeatable(descriptors: Mapping[str, Descriptor]) -> dict[str, Descriptor]:
    """The same descriptors; those that vary between the expert's own cycles by more than a learner is
    allowed to differ become unusable."""
    out = dict(descriptors)
    for name, d in descriptors.items():
        if d.usable and d.uncertainty > declared_tolerance(SPECS[name], d.value):
            why = f"the cycles differ among themselves by {d.uncertainty:.2g}, too much to aim at"
            out[name] = replace(d, usable=False, why=why)
    return out
