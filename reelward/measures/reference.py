"""The expert's motion: the descriptors of a body that was followed through a video, and which of them
the video cannot give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from reelward.measures.describe import describe, repeatable, spans, spread, unusable
from reelward.measures.descriptors import DESCRIPTORS, UNITS, UPRIGHT, Requirement
from reelward.measures.view import GRAVITY
from reelward.motion.course import courses
from reelward.motion.cycle import Period
from reelward.motion.ground import ERROR
from reelward.motion.person import LEG, STATURE_ERROR, frontal
from reelward.motion.record import Descriptor, Motion
from reelward.motion.signals import trunk
from reelward.motion.subject import Person, Silhouette, Subject

HIP_ERROR = 0.06
"""error (leg lengths) of the height of the pose model's hip"""
FAR_KNEE = (0.4, 1.2)
"""least and most range of the hidden knee in a symmetric gait, as fractions of the near knee's: the pose
model gave 0.56 on a clip of a healthy walker"""
KNEE_ERROR = 25.0
"""difference (degrees) between the ranges of the two knees that is an error of the pose model, whatever
the fraction"""
DUTY_ERROR = 0.15
"""largest difference (cycles) between the stances of the two feet in a symmetric gait"""
TURNS = 0.25
"""legs that are less than this (cycles) apart leap together, so their skews show no limp"""
FAR_LEG_KNOWN = 0.5
"""mean confidence of the far ankle below which the far leg counts as hidden"""
SIGMAS, AGREEING_SIGMAS = 3.0, 2.0
"""a limp differs from 0 by more than this many of its uncertainties; the second number is for the skews of
stance and knee where both name the same leg"""
ALIKE = (
    "the legs do not take turns, or differ by no more than the pose model's error or the cycles among "
    "themselves"
)
BACKWARDS = (
    "moves away from where the toes point: a backward walk, or a film that is played in reverse"
)
BLIND = "no descriptor is usable: only a critic that looks at the pictures can compare with this"


def reference(subject: Subject, time_scale: float | None) -> Motion:
    """The motion of a subject. `time_scale` is the seconds of the world per second of the video, None
    if unknown."""
    match subject:
        case Person():
            return person_motion(subject, time_scale)
        case Silhouette():
            return silhouette_motion(subject, time_scale)
    raise TypeError(f"expected a Person or a Silhouette, got {type(subject).__name__}")


NO_EXPERT = Motion(
    subject="none",
    fps=0.0,
    seconds=0.0,
    time_scale=None,
    leg_length_m=None,
    period=None,
    descriptors=unusable("there is no video"),
    notes=("there is no video: no figure of an expert is known",),
)
"""the motion of an expert that nobody has seen"""


def person_motion(person: Person, time_scale: float | None) -> Motion:
    track, scale, near = person.track, person.scale, person.near
    doubts = distrust(person)
    descriptors = describe(track, scale, near=near, distrust=doubts)
    limps, of_both = limping(descriptors, near), describe(track, scale, distrust=doubts)
    for spec in (spec for spec in DESCRIPTORS if spec.skew_of):
        if spec.name in limps:
            descriptors[str(spec.skew_of)] = of_both[str(spec.skew_of)]
        else:
            skew = descriptors[spec.name]
            descriptors[spec.name] = replace(skew, usable=False, why=skew.why or ALIKE)
    legs: tuple[str, ...] = (near,)
    whose = f"those of the {near} leg, the other is hidden in part"
    if "knee_skew" in limps:
        legs, whose = track.legs, "the means of both legs, which differ"
    descriptors["speed"] = with_ground_error(descriptors["speed"], person)
    descriptors = repeatable(descriptors)
    descriptors["height"] = unless_upright(descriptors["height"])
    if person.period is None:  # feet that are followed badly fly too
        descriptors["airborne"] = replace(
            descriptors["airborne"], usable=False, why="no rhythm was found to check it against"
        )
    return Motion(
        subject="person",
        fps=track.fps,
        seconds=track.seconds,
        time_scale=time_scale,
        leg_length_m=scale.metres,
        period=_in_world(person.period, time_scale),
        descriptors=descriptors,
        keypoints=track.names,
        duplicates_dropped=person.duplicates,
        notes=(
            f"seen from its {near} side; knee and thigh are {whose}",
            f"leg length {scale.metres:.3f} m is {LEG} of an assumed stature of {person.stature} m "
            f"(+-{100 * STATURE_ERROR:.0f} %)",
            f"the camera moved by {person.drift:.2f} picture heights a second, taken out",
            *_ground(person),
            *[BACKWARDS] * _backwards(descriptors["speed"]),
            *_common(person.period, time_scale),
            *[BLIND] * (not any(d.usable for d in descriptors.values())),
        ),
        courses={} if "thigh" in doubts else courses(track, scale.leg, person.period, legs),
    )


def silhouette_motion(outline: Silhouette, time_scale: float | None) -> Motion:
    track, period = outline.track, outline.period
    assert period is not None
    air = np.array([outline.flying[a:b].mean() for a, b in spans(track, period)])
    # The time for which a picture is held is the shortest that the film can show.
    dropped, frames = outline.duplicates, len(track)
    step = (dropped + 1) / (frames - dropped) / track.fps / period.value
    descriptors = unusable("an outline has no joints, and no leg length to measure by")
    descriptors["airborne"] = Descriptor(
        float(outline.flying.mean()), UNITS["airborne"], max(spread(air), step), True
    )
    return Motion(
        subject="silhouette",
        fps=track.fps,
        seconds=track.seconds,
        time_scale=time_scale,
        leg_length_m=None,
        period=_in_world(period, time_scale),
        descriptors=descriptors,
        keypoints=track.names,
        duplicates_dropped=outline.duplicates,
        notes=(
            "no person found: measured from the outline before a plain background",
            "only the period and the time off the ground are measured; an outline gives no speed, "
            "steps or joints",
            "left and right are as in the picture",
            *_common(period, time_scale),
        ),
    )


def distrust(person: Person) -> dict[str, str]:
    """The descriptors that this view of a person cannot give, and why."""
    track, far = person.track, "right" if person.near == "left" else "left"
    lean = float(np.median(trunk(track)))
    missing: dict[Requirement, str] = {
        "trunk_pitch": f"measured {lean:.0f} degrees; from one camera the pose model's hips and "
        "shoulders are off by a constant of that size",
        "trunk_sway": "the pose model's hips and shoulders shift with arms and legs by more than a "
        "walker's trunk turns",
    }
    if person.ground is None:
        missing["background"] = (
            "neither the background nor the feet tell how the camera or the ground moves"
        )
    if track.confidence[:, track.names.index(f"{far}_ankle")].mean() < FAR_LEG_KNOWN:
        missing["far_leg"] = "the leg away from the camera is hidden"
    if frontal(track):
        missing["side"] = "the body is seen from the front or the back, not from the side"
    return {
        spec.name: why
        for requirement, why in missing.items()
        for spec in DESCRIPTORS
        if requirement in spec.requires
    }


def unless_upright(height: Descriptor) -> Descriptor:
    """The hip's height, unusable where it may be that of an upright walk: then the difference may as
    well be the pose model's."""
    if not height.usable or abs((height.value or 0.0) - UPRIGHT) > HIP_ERROR:
        return height
    why = f"upright, {UPRIGHT} of the leg, within the {HIP_ERROR} by which the pose model's hip is off"
    return replace(height, usable=False, why=why)


def with_ground_error(speed: Descriptor, person: Person) -> Descriptor:
    """The speed, with the error of a moving ground where the feet tell the ground's speed."""
    if not person.ground or person.scale.time is None:
        return speed
    error = ERROR * np.sqrt(person.scale.metres / GRAVITY) / person.scale.time
    return replace(speed, uncertainty=float(np.hypot(speed.uncertainty, error)))


def limping(descriptors: Mapping[str, Descriptor], near: str) -> frozenset[str]:
    """The skews of alternating legs that show a limp. `descriptors` give the knee of the near leg.

    Such a skew is larger than the pose model's error of the far leg, and than `SIGMAS` of its own
    uncertainties. Fewer are enough where the stiff leg is also the one that stands more briefly.
    """
    names = ("knee", "knee_skew", "duty_skew", "lag")
    knee, bend, stance, lag = (
        d.value if d.usable else None for d in (descriptors[n] for n in names)
    )
    if knee is None or bend is None or stance is None or lag is None or lag < TURNS:
        return frozenset()
    less = 2 * bend if near == "right" else -2 * bend
    least, most = (fraction * knee for fraction in FAR_KNEE)
    stiff = abs(less) > KNEE_ERROR and not least < knee - less < most
    spared = abs(2 * stance) > DUTY_ERROR
    sigmas = AGREEING_SIGMAS if stiff and spared and bend * stance > 0 else SIGMAS
    stiff = stiff and _evident(descriptors["knee_skew"], sigmas)
    spared = spared and _evident(descriptors["duty_skew"], sigmas)
    return frozenset(["knee_skew", "thigh_skew"] * stiff + ["duty_skew"] * spared)


def _evident(skew: Descriptor, sigmas: float) -> bool:
    return abs(skew.value or 0.0) > sigmas * skew.uncertainty


def _in_world(period: Period | None, time_scale: float | None) -> Period | None:
    if period is None or time_scale is None:
        return period
    return replace(
        period, value=period.value * time_scale, uncertainty=period.uncertainty * time_scale
    )


def _backwards(speed: Descriptor) -> bool:
    return speed.usable and speed.value is not None and speed.value < -SIGMAS * speed.uncertainty


def _ground(person: Person) -> tuple[str, ...]:
    if not person.ground:
        return ()
    why = "a treadmill, or a camera that follows before a background without a hold"
    return (
        f"the ground moves under the feet by {person.ground:.2f} leg lengths a second ({why}): speed "
        "is that over the ground",
    )


def _common(period: Period | None, time_scale: float | None) -> tuple[str, ...]:
    notes = []
    if period is None:
        notes.append("no period found: the pictures divide the movement into equal parts")
    if time_scale is None:
        notes.append(
            "time scale unknown: speed and cadence are left out, the period is the video's"
        )
    return tuple(notes)
