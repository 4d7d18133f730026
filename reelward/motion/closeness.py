"""How close a learner's motion is to the expert's, as one number and as gates.

The weights are unequal on purpose: what a learner gets nearly for free (its clock, an upright
trunk) must not outweigh that it goes somewhere, with steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reelward.motion.descriptors import SKEWS, Descriptor, measurable
from reelward.motion.record import Motion


@dataclass(frozen=True)
class Judged:
    """How one descriptor counts: its weight, and the difference that earns nothing any more;
    `relative` to the expert's value, or in the descriptor's unit."""

    weight: float
    tolerance: float
    relative: bool = False


JUDGED = {
    "speed": Judged(2.0, 0.40, relative=True),
    "cadence": Judged(1.0, 0.30, relative=True),
    "step": Judged(2.0, 0.40, relative=True),
    "bob": Judged(1.0, 0.60, relative=True),
    "height": Judged(1.0, 0.10),
    "knee": Judged(1.0, 25.0),
    "thigh": Judged(1.0, 25.0),
    "duty": Judged(1.0, 0.12),
    "airborne": Judged(1.0, 0.10),
    "lag": Judged(1.0, 0.15),
    "lean": Judged(0.5, 15.0),
    "sway": Judged(0.5, 15.0),
    "duty_skew": Judged(1.0, 0.12),
    "knee_skew": Judged(1.0, 25.0),
    "thigh_skew": Judged(1.0, 25.0),
}
SURVIVAL = 0.9
"""least survived fraction of the episode of an eligible learner"""


@dataclass(frozen=True)
class Closeness:
    """`value` in [0, 1]; `parts`: the kernel of every descriptor that counted; `gates`."""

    value: float
    parts: dict[str, float]
    gates: dict[str, bool]

    @property
    def eligible(self) -> bool:
        return all(self.gates.values())


def repeatable(measured: Mapping[str, Descriptor]) -> dict[str, Descriptor]:
    """The same, where what differs between the expert's own cycles by more than is tolerated of a
    learner has become unusable."""
    out = dict(measured)
    for name, d in measured.items():
        most = JUDGED[name].tolerance * (abs(d.value or 0.0) if JUDGED[name].relative else 1.0)
        if d.usable and d.uncertainty > most:
            why = f"the cycles differ among themselves by {d.uncertainty:.2g}, too much to aim at"
            out[name] = replace(d, usable=False, why=why)
    return out


def tolerance(name: str, expert: Descriptor) -> float:
    """The difference from the expert at which `name` earns nothing: the declared one, or the
    expert's own uncertainty where that is more."""
    judged = JUDGED[name]
    declared = judged.tolerance * (abs(expert.value or 0.0) if judged.relative else 1.0)
    return max(declared, expert.uncertainty, 1e-9)


def apart(motion: Motion) -> float | None:
    """Cycles between the two legs, 0 to 0.5, None where the motion does not tell: their lag or, where
    they swing too little for it, what standing says. Legs that land together stand for a share
    `duty` of the cycle and are in the air for the rest; later landing makes that shorter by the lag,
    until no two feet stand at once, or one always does."""
    lag, duty, air = (motion.descriptors[n] for n in ("lag", "duty", "airborne"))
    if lag.usable:
        return lag.value
    both = "lag" in measurable(motion.keypoints) and duty.usable and air.usable
    if not both or duty.value is None or air.value is None:
        return None
    later = max(1.0 - air.value - duty.value, 0.0)
    return later if later < 0.8 * min(duty.value, 1.0 - duty.value) else None


def alternate(expert: Motion) -> bool:
    """Whether the legs do the same half a cycle apart, as far as the motion tells."""
    lag = apart(expert)
    even = not any(expert.descriptors[name].usable for name in SKEWS)
    return even and (lag is None or abs(lag - 0.5) <= tolerance("lag", expert.descriptors["lag"]))


def kernel(x: float) -> float:
    """1 at no difference, falling straight to 0 at the tolerance."""
    return max(0.0, 1.0 - abs(x))


def compare(expert: Motion, learner: Motion) -> Closeness:
    """The closeness of a learner's recorded motion to the expert's."""
    return closeness(
        expert.descriptors,
        learner.descriptors,
        survival=learner.survival,
        able=measurable(learner.keypoints),
    )


def closeness(
    expert: Mapping[str, Descriptor],
    learner: Mapping[str, Descriptor],
    *,
    survival: float,
    able: frozenset[str],
) -> Closeness:
    """Survived fraction times the weighted mean of the kernels of d / tolerance.

    It runs over the expert's usable descriptors that the learner's keypoints could give at all
    (`able`, from `measurable`); one that this learner's motion fails to give counts 0.
    """
    parts = {}
    for name in JUDGED:
        e, mine = expert.get(name), learner.get(name)
        if e is None or not e.usable or e.value is None or name not in able:
            continue
        if mine is None or not mine.usable or mine.value is None:
            parts[name] = 0.0
        else:
            parts[name] = kernel((mine.value - e.value) / tolerance(name, e))
    weight = sum(JUDGED[n].weight for n in parts)
    mean = sum(JUDGED[n].weight * k for n, k in parts.items()) / weight if weight else 0.0
    gates = {"survival": survival >= SURVIVAL} | {
        gate: parts[name] > 0.0
        for gate, name in (("speed", "speed"), ("alternation", "lag"), ("airborne", "airborne"))
        if name in parts
    }
    return Closeness(survival * mean, parts, gates)
