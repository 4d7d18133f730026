"""The descriptors of a gait: one record each. To add a descriptor, add its record here.

Everything else reads this table: how a motion is measured, how close two motions are, the words of
the measured critic, the targets and terms of the measured author, and the columns of history.csv.
`python -m reelward.measures` prints it.

Lengths are in leg lengths L, speed is the Froude number v / sqrt(g L), frequency f sqrt(L / g)
(Alexander, "Optimization and gaits in the locomotion of vertebrates", 1989), so that bodies of
different sizes compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reelward.measures.view import (
    GRAVITY,
    Names,
    View,
    a_foot,
    a_thigh,
    a_trunk,
    any_point,
    right_and_left_foot,
    right_and_left_leg,
    two_ankles,
    two_limbs,
)
from reelward.motion.signals import lag, level, slope
from reelward.motion.track import Scale

UPRIGHT = 0.95
"""mean height of the hip in upright walking, in leg lengths"""
GROUNDED = 0.8
"""fraction of the time that a foot must stand for the height of the hip to be known"""


Legwise = Callable[[View, str, int, int], float]
"""the value of one leg over the frames [first, last)"""
Over = Callable[[View, int, int], float]
"""the value over the frames [first, last); not a number where they do not show it"""


def _knee(v: View, leg: str, a: int, b: int) -> float:
    return float(np.ptp(v.knees[leg][a:b]))


def _thigh(v: View, leg: str, a: int, b: int) -> float:
    return float(np.ptp(v.thighs[leg][a:b]))


def _duty(v: View, leg: str, a: int, b: int) -> float:
    return float(v.stands[leg][a:b].mean())


def _mean(of: Legwise, legs: Callable[[View], Collection[str]]) -> Over:
    def over(v: View, a: int, b: int) -> float:
        visible = [g for g in legs(v) if v.near in (None, g)]
        return float(np.mean([of(v, g, a, b) for g in visible]))

    return over


def _skew(of: Legwise) -> Over:
    return lambda v, a, b: (of(v, "right", a, b) - of(v, "left", a, b)) / 2


def _height(v: View, a: int, b: int) -> float:
    """The mean while a foot stands: in flight nothing shows where the ground is."""
    height, grounded = v.hip_height[a:b], v.grounded[a:b]
    known = grounded.mean() > GROUNDED
    return (float(height[grounded].mean()) if known else math.nan) / v.scale.leg


# --- records ------------------------------------------------------------------------------------


Conversion = Callable[[float, float], float]


@dataclass(frozen=True)
class Target:
    """A figure in a reward's `TARGET` (or its `PERIOD`), in the reward's own unit.

    `to_reward(value, leg)` converts the descriptor's value for a robot whose leg is `leg` metres
    long; `to_descriptor` converts back. `assumed` is the descriptor's value where the video does not
    show it; without one the target is then left out.
    """

    name: str
    unit: str
    to_reward: Conversion
    to_descriptor: Conversion
    assumed: float | None = None


def _scaled(
    name: str, unit: str, factor: Callable[[float], float], assumed: float | None = None
) -> Target:
    return Target(
        name, unit, lambda d, leg: d * factor(leg), lambda r, leg: r / factor(leg), assumed
    )


def _same(_: float) -> float:
    return 1.0


def _metres(leg: float) -> float:
    return leg


def _radians(_: float) -> float:
    return math.pi / 180


@dataclass(frozen=True)
class Gate:
    """A condition of eligibility: the figure must lie within its tolerance. `failure` names what is
    wrong otherwise; of several, the one of the lowest `order`."""

    name: str
    failure: str
    order: int


Requirement = Literal["side", "background", "far_leg", "trunk_pitch", "trunk_sway"]
"""what a person's video must show: the body from the side, a background that tells the camera's own
motion, the leg away from the camera, or the trunk's pitch more exactly than one camera gives it"""


@dataclass(frozen=True)
class Spec:
    """All that is known of one descriptor."""

    name: str
    unit: str
    meaning: str
    over: Over | None
    """how it is measured; None: from the period alone"""
    keypoints: Callable[[Names], bool]
    """whether a body with these keypoints can give it in principle"""
    weight: float
    """in the closeness"""
    tolerance: float
    """difference from which on a learner earns nothing, in `unit`"""
    too_small: str
    too_large: str
    term: str
    """the term of `TERMS` that answers for it"""
    relative: bool = False
    """the tolerance is a fraction of the expert's value"""
    target: Target | None = None
    gate: Gate | None = None
    skew_of: str | None = None
    """the descriptor whose difference between the right and the left leg it is"""
    cyclic: bool = True
    """measured only where a period is known"""
    counts_frames: bool = False
    """a fraction of the frames: its uncertainty is one frame of all at least"""
    timed: bool = False
    """needs the time scale of a video"""
    requires: tuple[Requirement, ...] = ()
    """of a person's video"""
    scale_error: Callable[[Scale], float] | None = None
    """relative uncertainty that comes from the scale's"""
    unclear: str = "too little movement"
    """why its value may be not a number"""


DESCRIPTORS = (
    Spec(
        "speed", "Froude number v/sqrt(g L)", "speed of the hip, forward positive",
        over=lambda v, a, b: slope(v.hip[a:b, 0]) * v.to_froude, keypoints=any_point,
        weight=2.0, tolerance=0.40, relative=True,
        too_small="too slow", too_large="too fast",
        term="speed", target=_scaled("speed", "m/s", lambda leg: math.sqrt(GRAVITY * leg)),
        gate=Gate("speed", "wrong_speed", 1), cyclic=False, timed=True, requires=("background", "side"),
        # Speed depends on the root of the metres.
        scale_error=lambda s: np.hypot(s.error / 2, s.leg_error),
    ),
    Spec(
        "cadence", "stride frequency x sqrt(L/g)", "strides per second",
        over=None, keypoints=any_point,
        weight=1.0, tolerance=0.30, relative=True,
        too_small="steps too seldom", too_large="steps too often",
        term="clock",
        target=Target(
            "period", "s, one stride",
            lambda d, leg: math.sqrt(leg / GRAVITY) / d, lambda r, leg: math.sqrt(leg / GRAVITY) / r,
        ),
        timed=True, scale_error=lambda s: s.error / 2,
    ),
    Spec(
        "step", "leg lengths", "half the range of the distance between the ankles",
        over=lambda v, a, b: float(np.ptp(v.ankle_gap[a:b])) / 2 / v.scale.leg, keypoints=two_ankles,
        weight=2.0, tolerance=0.40, relative=True,
        too_small="steps too short", too_large="steps too long",
        term="step", target=_scaled("step", "m, ankle to ankle", _metres),
        requires=("far_leg", "side"), scale_error=lambda s: s.leg_error,
    ),
    Spec(
        "bob", "leg lengths", "range of the hip's height in a cycle",
        over=lambda v, a, b: float(np.ptp(level(v.hip[a:b, 1]))) / v.scale.leg, keypoints=any_point,
        weight=1.0, tolerance=0.60, relative=True,
        too_small="the hip moves too little up and down",
        too_large="the hip moves too much up and down",
        term="bob", target=_scaled("bob", "m, rise and fall of the hip", _metres),
        scale_error=lambda s: s.leg_error,
    ),
    Spec(
        "height", "leg lengths", "mean height of the hip over the soles while a foot stands",
        over=_height, keypoints=a_foot,
        weight=1.0, tolerance=0.10,
        too_small="the hip is too low", too_large="the hip is too high",
        term="hip", target=_scaled("height", "m, mean height of the hip", _metres),
        requires=("side",), scale_error=lambda s: s.leg_error, unclear="too long in flight",
    ),
    Spec(
        "knee", "degrees", "range of the knee's angle",
        over=_mean(_knee, lambda v: v.knees), keypoints=a_thigh,
        weight=1.0, tolerance=25.0,
        too_small="the knee bends too little", too_large="the knee bends too much",
        term="knee", target=_scaled("knee", "rad, range of flexion", _radians), requires=("side",),
    ),
    Spec(
        "thigh", "degrees", "range of the thigh's angle",
        over=_mean(_thigh, lambda v: v.thighs), keypoints=a_thigh,
        weight=1.0, tolerance=25.0,
        too_small="the thigh swings too little", too_large="the thigh swings too far",
        term="thigh", target=_scaled("thigh", "rad, from back to front", _radians), requires=("side",),
    ),
    Spec(
        "duty", "fraction of the cycle", "fraction in which a foot stands",
        over=_mean(_duty, lambda v: v.track.legs), keypoints=a_foot,
        weight=1.0, tolerance=0.12, counts_frames=True,
        too_small="the feet stand too briefly", too_large="the feet stand too long",
        term="clock",
        target=_scaled("duty", "fraction of the stride a foot stands", _same, assumed=0.6),
        requires=("side",),
    ),
    Spec(
        "airborne", "fraction of the time", "fraction in which no foot stands",
        over=lambda v, a, b: float(np.mean(~v.grounded[a:b])), keypoints=a_foot,
        weight=1.0, tolerance=0.10, counts_frames=True,
        too_small="never leaves the ground", too_large="leaves the ground",
        term="clock", gate=Gate("airborne", "hop", 0), cyclic=False, requires=("far_leg", "side"),
    ),
    Spec(
        "lag", "cycles", "phase lag between the first two legs, 0 to 0.5",
        # Of the whole leg, hip to ankle: a knee hidden behind the other leg misleads the thigh's.
        over=lambda v, a, b: lag(*(x[a:b] for x in v.limbs)), keypoints=two_limbs,
        weight=1.0, tolerance=0.15,
        too_small="the legs do not alternate", too_large="the legs do not alternate",
        term="step", gate=Gate("alternation", "no_alternation", 2), requires=("far_leg", "side"),
    ),
    Spec(
        "lean", "degrees", "mean pitch of the trunk, forward positive",
        over=lambda v, a, b: float(v.pitch[a:b].mean()), keypoints=a_trunk,
        weight=0.5, tolerance=15.0,
        too_small="leans back", too_large="leans forward",
        term="upright", target=_scaled("lean", "rad, trunk pitch", _radians, assumed=0.0),
        cyclic=False, requires=("trunk_pitch",),
    ),
    Spec(
        "sway", "degrees", "range of the trunk's pitch",
        over=lambda v, a, b: float(np.ptp(v.pitch[a:b])), keypoints=a_trunk,
        weight=0.5, tolerance=15.0,
        too_small="the trunk is too stiff", too_large="the trunk sways",
        term="upright", requires=("trunk_sway",),
    ),
    Spec(
        "duty_skew", "fraction of the cycle",
        "a limp: the right leg's `duty` is above the mean of both by this, the left one's below",
        over=_skew(_duty), keypoints=right_and_left_foot,
        weight=1.0, tolerance=0.12, counts_frames=True,
        too_small="stands on the right leg too briefly compared with the left",
        too_large="stands on the left leg too briefly compared with the right",
        term="clock",
        target=_scaled("duty_skew", "added to duty on the right, subtracted on the left", _same),
        skew_of="duty", requires=("side",),
    ),
    Spec(
        "knee_skew", "degrees", "the same of `knee`",
        over=_skew(_knee), keypoints=right_and_left_leg,
        weight=1.0, tolerance=25.0,
        too_small="the right knee bends too little compared with the left",
        too_large="the left knee bends too little compared with the right",
        term="knee", target=_scaled("knee_skew", "rad, added to knee on the right, subtracted on the left", _radians),
        skew_of="knee", requires=("side",),
    ),
    Spec(
        "thigh_skew", "degrees", "the same of `thigh`",
        over=_skew(_thigh), keypoints=right_and_left_leg,
        weight=1.0, tolerance=25.0,
        too_small="the right thigh swings too little compared with the left",
        too_large="the left thigh swings too little compared with the right",
        term="thigh", target=_scaled("thigh_skew", "rad, added to thigh on the right, subtracted on the left", _radians),
        skew_of="thigh", requires=("side",),
    ),
)  # fmt: skip
"""in the order of motion.json and history.csv"""

SPECS = {spec.name: spec for spec in DESCRIPTORS}
UNITS = {spec.name: spec.unit for spec in DESCRIPTORS}
SKEWS = tuple(spec.name for spec in DESCRIPTORS if spec.skew_of)


def measurable(names: Names) -> frozenset[str]:
    """The descriptors that a body with these keypoints can give in principle."""
    return frozenset(spec.name for spec in DESCRIPTORS if spec.keypoints(names))


# --- the terms of a reward ----------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """A term of the reward library: how the measured author calls it, and its weight in the goal.

    A term without a weight there shapes the gait; the author switches it on later.
    """

    name: str
    call: str
    goal: float | None = None


TERMS = (
    Term("alive", "alive(s)", goal=1.0),
    Term("speed", 'speed(s, TARGET["speed"], width=0.5)', goal=1.0),
    Term("upright", 'upright(s, TARGET["lean"], width=0.25)', goal=1.0),
    Term("clock", 'clock(s, TARGET["duty"])'),
    Term("step", 'step(s, TARGET["step"], width=0.25)'),
    Term("knee", 'follow(s, flexion, TARGET["knee"], COURSE["knee"], width=0.2)'),
    Term("thigh", 'follow(s, thigh_angle, TARGET["thigh"], COURSE["thigh"], width=0.2)'),
    Term("bob", 'heave(s, HIP_HEIGHT, TARGET["bob"], COURSE["bob"]["hip"], width=0.05)'),
    Term("hip", 'hip(s, TARGET["height"], width=0.1)'),
    Term("smooth", "smooth(s)", goal=0.3),
    Term("energy", "energy(s)", goal=0.1),
)
"""in the order of a reward file"""
