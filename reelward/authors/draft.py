"""A draft: a reward as its terms, their targets and their weights. It is made from a video, written as
a reward file, and read from one.

Targets are the measured figures of the expert. Legs follow the expert's own courses through the gait
cycle (`follow`, and `turns` where several legs were measured). What the video does not show is either
not rewarded, or assumed; a comment in the reward says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reelward.language import Reward, RewardError, compile_reward
from reelward.measures.descriptors import (
    DESCRIPTORS,
    SKEWS,
    SPECS,
    TERMS,
    UPRIGHT,
    Target,
    measurable,
)
from reelward.measures.gait import phase_lag
from reelward.motion.course import Course, curve
from reelward.motion.record import Motion
from reelward.sim.mjcf import Robot

CALLS = {term.name: term.call for term in TERMS}
"""how each term is called, in the order of a reward file"""
TURNS = 'turns(s, TARGET["duty"], LANDING)'
"""the clock of legs that land when the expert's legs do"""
GOAL = {term.name: term.goal for term in TERMS if term.goal is not None}
SHAPES = tuple(term.name for term in TERMS if term.goal is None)
"""terms that shape the gait; the author switches them on later"""
PACE = 2.5
"""minimum weight of the speed once a term follows a course"""
TOGETHER = 0.25
"""legs with a smaller phase lag (cycles) do not alternate"""


@dataclass(frozen=True)
class Knob:
    """A target of one robot: it converts between a descriptor's value and the reward's unit."""

    descriptor: str
    target: Target
    leg: float
    """length (m)"""

    def to_reward(self, value: float) -> float:
        return self.target.to_reward(value, self.leg)

    def to_descriptor(self, value: float) -> float:
        return self.target.to_descriptor(value, self.leg)


def knobs(robot: Robot) -> dict[str, Knob]:
    """The targets in the order of the terms that read them; the period comes first, a limp's last."""
    terms = list(CALLS)
    order = sorted(
        DESCRIPTORS,
        key=lambda d: (d.name != "cadence", d.skew_of is not None, terms.index(d.term)),
    )
    return {
        spec.target.name: Knob(spec.name, spec.target, robot.leg_length_m)
        for spec in order
        if spec.target
    }


@dataclass(frozen=True)
class Draft:
    """A reward as its figures; `source` writes it as a file."""

    targets: dict[str, float]
    weights: dict[str, float]
    """of the terms that are on"""
    courses: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    """term -> leg (or hip) -> mean, then cosine and sine of each harmonic, of range 1"""
    landings: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """leg -> phase of its landing, and its stance divided by the mean stance"""

    def with_target(self, name: str, value: float) -> Draft:
        return replace(self, targets=self.targets | {name: value})

    def with_weight(self, name: str, value: float) -> Draft:
        return replace(self, weights=self.weights | {name: value})

    def with_term(self, name: str) -> Draft:
        """The draft with the term on. The speed then weighs at least `PACE`, because legs can follow a course
        on the spot too."""
        on = self.with_weight(name, 1.0)
        slow = name in ("knee", "thigh") and self.weights.get("speed", 0.0) < PACE
        return on.with_weight("speed", PACE) if slow else on


# --- from a video -----------------------------------------------------------------------------


def begin(expert: Motion, robot: Robot) -> tuple[Draft, tuple[str, ...]]:
    """A draft of the goal, and the names of the targets that are assumed.

    The draft has all targets at the expert's figures, and the courses and landings for the robot's
    legs. If each leg has its own landing, the targets of a skewed stance and of even steps are left
    out.
    """
    targets, assumed = expert_targets(expert, robot)
    known = _on_legs(expert.courses, robot, targets)
    courses = {name: rows for name, rows in _courses(known).items() if name in targets}
    landings, without = {}, set()
    if known and len(expert.courses) > 1:
        mean = max(sum(c.duty for c in known.values()) / len(known), 1e-3)
        landings = {leg: (c.landing, c.duty / mean) for leg, c in known.items()}
        without = {"duty_skew", "step"}
    kept = {name: value for name, value in targets.items() if name not in without}
    return Draft(kept, dict(GOAL), courses, landings), assumed


def expert_targets(expert: Motion, robot: Robot) -> tuple[dict[str, float], tuple[str, ...]]:
    """All targets at the expert's figures, in the reward's units, and the names of those that are
    assumed. The legs' phase lag (cycles) is among them, though no term reads it."""
    air = expert.descriptors["airborne"]
    most = 1.0 - air.value if air.usable and air.value is not None else 1.0
    targets, assumed = {}, []
    for name, knob in knobs(robot).items():
        d = expert.descriptors[knob.descriptor]
        if name in SKEWS and name not in measurable(robot.keypoints):
            continue
        if d.usable and d.value is not None:
            targets[name] = knob.to_reward(d.value)
        elif knob.target.assumed is not None:
            # No foot stands for longer than any foot does.
            value = min(knob.target.assumed, most) if name == "duty" else knob.target.assumed
            targets[name] = knob.to_reward(value)
            assumed.append(name)
    if (lag := phase_lag(expert)) is not None:
        targets["lag"] = lag
    return targets, tuple(assumed)


def _on_legs(
    known: Mapping[str, Course], robot: Robot, targets: Mapping[str, float]
) -> dict[str, Course]:
    """A course for each of the robot's legs. If some were not measured, all legs get the course of the
    first measured one, with the phases of the clock."""
    legs = tuple(robot.feet)
    if not known:
        return {}
    if set(legs) <= known.keys():
        return {leg: known[leg] for leg in legs}
    one = next(iter(known.values()))
    late = targets.get("duty_skew", 0.0)
    late += 0.0 if targets.get("lag", 0.5) < TOGETHER else 1 / len(legs)
    return {leg: one.later(i * late) for i, leg in enumerate(legs)}


def _courses(known: Mapping[str, Course]) -> dict[str, dict[str, list[float]]]:
    """The courses that the terms follow: a knee's flexion is positive, and all legs share one hip."""
    if not known:
        return {}
    knees = {
        leg: np.radians(np.sign(c.knee[0] or 1) * np.array(c.knee)) for leg, c in known.items()
    }
    thighs = {leg: np.radians(c.thigh) for leg, c in known.items()}
    hip = {"hip": np.mean([c.hip for c in known.values()], axis=0)}
    of_each = {"knee": knees, "thigh": thighs, "bob": hip}
    return {
        name: {of: _of_range_1(row, name == "bob") for of, row in rows.items()}
        for name, rows in of_each.items()
    }


def _of_range_1(course: np.ndarray, whole: bool) -> list[float]:
    """The course's harmonics divided by its range, and its mean too if `whole`. Rounded, because values
    near 0 differ between machines."""
    reach = max(np.ptp(curve(course, np.arange(64) / 64)), 1e-6)
    mean = course[0] / reach if whole else course[0]
    return [round(float(x), 6) + 0.0 for x in (mean, *course[1:] / reach)]


def shapes(robot: Robot, draft: Draft) -> tuple[str, ...]:
    """The shaping terms that this robot's body supports and whose targets and courses are known. Without
    a period there are none."""
    usable = []
    for name in SHAPES if "period" in draft.targets else ():
        if _is_known(draft, name):
            one = replace(draft, weights={name: 1.0})
            try:
                compile_reward(source(one, robot, "Try one term."), robot.fields)
                usable.append(name)
            except RewardError:
                continue
    return tuple(usable)


def _is_known(draft: Draft, term: str) -> bool:
    """Whether the draft has the targets and the course that the term's call reads."""
    call = CALLS[term]
    targets = {part.split('"')[0] for part in call.split('TARGET["')[1:]}
    return targets <= draft.targets.keys() and ("COURSE" not in call or term in draft.courses)


# --- to a file and back -----------------------------------------------------------------------


def source(draft: Draft, robot: Robot, title: str, assumed: Sequence[str] = ()) -> str:
    """The reward file of a draft. Terms without a weight do not appear."""
    terms = calls(draft)
    names = [*terms, *(name for name in draft.weights if name not in terms)]
    used = {name: terms.get(name, f"{name}(s)") for name in names if draft.weights.get(name)}
    text = "\n".join(used.values())
    units = {name: knob.target.unit for name, knob in knobs(robot).items()}
    lines = [f'"""{title}"""', ""]
    if period := draft.targets.get("period"):
        lines += [f"PERIOD = {figure(period)}  # {units['period']}", ""]
    lines += ["TARGET = {"]
    for name in knobs(robot):
        if f'TARGET["{name}"]' in text:
            note = units[name]
            if name in assumed:
                note += "; assumed, the video does not show it"
            lines.append(f'    "{name}": {figure(draft.targets[name])},  # {note}')
    lines += ["}", ""]
    lines += [line for table in tables(draft, robot, text) for line in (*table, "")]
    lines += ["WEIGHT = {"]
    lines += [f'    "{name}": {figure(draft.weights[name])},' for name in used]
    lines += ["}", "", "", "def reward(s):", "    return {"]
    lines += [f'        "{name}": WEIGHT["{name}"] * {call},' for name, call in used.items()]
    return "\n".join([*lines, "    }", ""])


def calls(draft: Draft) -> dict[str, str]:
    """`CALLS` for this motion. In a backward walk the leg behind lands, in a hop all feet land at once,
    and in a limp the right and the left leg differ."""
    calls = dict(CALLS)
    if draft.landings:
        calls["clock"] = TURNS
    for name in (name for name in SKEWS if name in draft.targets):
        term = SPECS[name].term
        calls[term] = calls[term][:-1] + f', skew=TARGET["{name}"])'
    if "height" in draft.targets:
        calls["bob"] = calls["bob"].replace("HIP_HEIGHT", 'TARGET["height"]')
    if draft.targets.get("speed", 0.0) < 0:
        calls["step"] = calls["step"].replace("TARGET", "-TARGET")
    if draft.targets.get("lag", 0.5) < TOGETHER and not draft.landings:
        calls["clock"] = calls["clock"][:-1] + ", together=True)"
    return calls


def tables(draft: Draft, robot: Robot, text: str) -> list[list[str]]:
    """The lines of each constant that the calls in `text` read, apart from targets and weights."""

    def rows(legs: Mapping[str, Sequence[float]], indent: str) -> list[str]:
        return [f'{indent}"{g}": [{", ".join(map(figure, row))}],' for g, row in legs.items()]

    constants = []
    if "HIP_HEIGHT" in text:
        height = figure(UPRIGHT * robot.leg_length_m)
        constants.append(
            [f"HIP_HEIGHT = {height}  # m, while a foot stands; assumed, as in an upright walk"]
        )
    if "LANDING" in text:
        head = "# leg: phase of its landing, its stance divided by duty"
        constants.append([head, "LANDING = {", *rows(draft.landings, "    "), "}"])
    if named := [n for n in draft.courses if f'COURSE["{n}"]' in text]:
        head = "# mean (rad; the hip's in units of its range), then cosine and sine of each harmonic, of range 1"
        body = [
            line
            for n in named
            for line in (f'    "{n}": {{', *rows(draft.courses[n], "        "), "    },")
        ]
        constants.append([head, "COURSE = {", *body, "}"])
    return constants


def figure(value: float) -> str:
    """The value with four significant digits, as Python writes it."""
    return repr(float(f"{value:.4g}"))


def read(reward: Reward | None, base: Draft, native: Sequence[str] = ()) -> Draft | None:
    """The draft that a reward file was written from; None for a file of another form.

    Courses, and targets that the file does not name, are those of `base`. A term whose target or course
    is unknown is left out. `native` names the user's own terms.
    """
    if reward is None:
        return None
    targets, weights = reward.constants.get("TARGET"), reward.constants.get("WEIGHT")
    if (
        not isinstance(targets, dict)
        or not isinstance(weights, dict)
        or not weights.keys() <= {*CALLS, *native}
    ):
        return None
    period = {"period": reward.period} if reward.period else {}
    draft = replace(base, targets=base.targets | targets | period)
    kept = {
        str(name): float(weight)
        for name, weight in weights.items()
        if name not in CALLS or _is_known(draft, str(name))
    }
    return replace(draft, weights=kept)
