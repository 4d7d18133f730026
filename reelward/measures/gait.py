"""The measure `gait`: how close two cyclic motions of legs are, by the descriptors.

The weights are unequal on purpose: figures that a learner gets nearly for free (its cadence, an
upright trunk) must not outweigh that it moves forward in steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from reelward.measures.base import LEAST_S, START_UP_S, Body, Episodes
from reelward.measures.describe import declared_tolerance, robot_motion, tolerance, unusable
from reelward.measures.descriptors import DESCRIPTORS, SKEWS, SPECS, UNITS, measurable
from reelward.measures.reference import reference
from reelward.motion.record import Descriptor, Motion
from reelward.motion.subject import Subject
from reelward.records import Comparison, Row

SURVIVAL = 0.9
"""an eligible learner lives at least this fraction of the episode"""


@dataclass(frozen=True)
class Gait:
    """A `Measure`."""

    name: str = "gait"
    fields: tuple[str, ...] = ()
    least_s: float = START_UP_S + LEAST_S
    at_zero: str = (
        "every figure of every learner is further off than its tolerance, so closeness is 0: raise "
        "train.env_steps, or start from a reward with fewer terms"
    )

    @property
    def figures(self) -> Mapping[str, str]:
        return UNITS

    def reference(self, subject: Subject, time_scale: float | None) -> Motion:
        return reference(subject, time_scale)

    def alternate(self, expert: Motion) -> bool:
        return alternate(expert)

    def of(self, body: Body, episodes: Episodes) -> Motion:
        return typical(motions(body, episodes))

    def compare(self, expert: Motion, learner: Motion) -> Comparison:
        return compare(expert, learner)


def motions(body: Body, episodes: Episodes) -> list[Motion]:
    """The motion of each episode, without its start-up. One that ends too early has no figures."""
    radius = max((foot.radius for foot in body.feet.values()), default=0.0)
    measured = []
    for track in episodes.tracks(body):
        steady = track.cut(START_UP_S)
        short = steady.seconds < LEAST_S
        if short:
            steady = steady.cut(0, 0)
        motion = robot_motion(steady, body.name, body.leg_length_m, episodes.survival, radius)
        if short:
            end = "it fell" if len(track) < len(episodes.points) else "the episode ended"
            why = f"{end} after {track.seconds:.1f} s, before it could be measured"
            motion = replace(motion, descriptors=unusable(why))
        measured.append(motion)
    return measured


def typical(motions: Sequence[Motion]) -> Motion:
    """The longest motion, with each descriptor's median over the motions that give it. The spread
    between the motions adds to the descriptor's uncertainty."""
    longest = max(motions, key=lambda m: m.seconds)
    descriptors = {}
    for name, d in longest.descriptors.items():
        given = [m.descriptors[name] for m in motions if m.descriptors[name].usable]
        values = [g.value for g in given if g.value is not None]
        if d.usable and values:
            spread = (max(values) - min(values)) / 2
            error = math.hypot(median(g.uncertainty for g in given), spread)
            d = replace(d, value=median(values), uncertainty=error)
        descriptors[name] = d
    return replace(longest, descriptors=descriptors)


def phase_lag(motion: Motion) -> float | None:
    """Cycles between the two legs, 0 to 0.5; None where the motion does not show it.

    This is the descriptor `lag` or, where the legs swing too little for it, a lag from the stances.
    Two feet that land together stand for `duty` of the cycle, and both are in the air for the rest.
    If one foot lands later, the time in which both are in the air is shorter by the lag. This holds
    until the stances stop overlapping, or until a foot stands at every moment.
    """
    lag, duty, air = (motion.descriptors[n] for n in ("lag", "duty", "airborne"))
    if lag.usable:
        return lag.value
    two_legs = "lag" in measurable(motion.keypoints)
    if not (two_legs and duty.usable and air.usable) or duty.value is None or air.value is None:
        return None
    later = max(1.0 - air.value - duty.value, 0.0)
    return later if later < 0.8 * min(duty.value, 1.0 - duty.value) else None


def alternate(expert: Motion) -> bool:
    """Whether the legs do the same half a cycle apart, as far as the motion shows."""
    lag = phase_lag(expert)
    even = not any(expert.descriptors[name].usable for name in SKEWS)
    return even and (lag is None or abs(lag - 0.5) <= tolerance("lag", expert.descriptors["lag"]))


def kernel(x: float) -> float:
    """1 at no difference, falling linearly to 0 at the tolerance."""
    return max(0.0, 1.0 - abs(x))


def compare(expert: Motion, learner: Motion) -> Comparison:
    """The closeness of a learner's motion to the expert's: the survived fraction times the weighted
    mean of `kernel(difference / tolerance)`.

    The mean runs over the expert's usable descriptors that the learner's keypoints can give in
    principle. One that this learner's motion does not show earns 0.
    """
    able, parts = measurable(learner.keypoints), dict[str, float]()
    rows = []
    for spec in DESCRIPTORS:
        e, own = expert.descriptors.get(spec.name), learner.descriptors.get(spec.name)
        why = _uncounted(e, spec.name in able)
        limit = declared_tolerance(spec, e.value if e else None)
        value = own.value if own and own.usable else None
        off, words = None, ""
        if e and e.value is not None and not why:
            limit = tolerance(spec.name, e)
            off = None if value is None else (value - e.value) / limit
            parts[spec.name] = 0.0 if off is None else kernel(off)
            words = f"{spec.name} cannot be measured on the learner"
            if off is not None:
                words = spec.too_large if off > 0 else spec.too_small
        row = Row(
            name=spec.name,
            unit=spec.unit,
            expert=e.value if e else None,
            learner=value,
            off=None if off is None else round(off, 4),
            tolerance=limit,
            weight=spec.weight,
            part=round(parts[spec.name], 6) if spec.name in parts else None,
            words=words,
            why=why,
        )
        rows.append(row)
    weight = sum(SPECS[n].weight for n in parts)
    mean = sum(SPECS[n].weight * k for n, k in parts.items()) / weight if weight else 0.0
    gated = {n: SPECS[n].gate for n in parts}
    closed = sorted(
        (gate for name, gate in gated.items() if gate and parts[name] <= 0.0),
        key=lambda gate: gate.order,
    )
    survives = learner.survival >= SURVIVAL
    failures = [*([] if survives else ["fall"]), *(gate.failure for gate in closed)]
    return Comparison(
        closeness=round(learner.survival * mean, 6),
        survival=learner.survival,
        gates={"survival": survives}
        | {gate.name: gate not in closed for gate in gated.values() if gate},
        failure=failures[0] if failures else "none",
        rows=tuple(rows),
    )


def _uncounted(expert: Descriptor | None, able: bool) -> str:
    """Why a descriptor does not count; empty where it does."""
    if expert is None:
        return "there is no expert"
    if not expert.usable or expert.value is None:
        return expert.why or "it was not measured on the expert"
    return "" if able else "the learner's body lacks the points for it"
