"""The measured author: no language model. It moves targets and weights of named reward terms.

Iteration 0 is honest: the goal alone (speed, posture), and the goal with a gait clock, targets
straight from the video. From then on each candidate is one of three moves on the best reward so
far, from what training on it reached:

  aim    put each target beyond the expert's figure by what the learner falls short of it
  weigh  switch on every missing term, raise the weights of the terms whose descriptors are worst
  both

Knees and thighs go the way of a textbook's walk, or, where the expert itself would earn too little of
that, the way that was measured of it.

A target moves by 0.8 of the error over the slope, where the slope says how far a descriptor went
when its own target went (a diagonal secant over all trials so far, pulled towards 1). An iteration
that brought nothing halves the region in which the next one moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from reelward.language import Reward, RewardError, compile_reward
from reelward.motion.closeness import apart, tolerance
from reelward.motion.course import Course, curve
from reelward.motion.descriptors import GRAVITY, SKEWS, UPRIGHT, measurable
from reelward.motion.record import Motion
from reelward.sim.robot import Robot

DEAD = 0.1
"""errors below this (in tolerances) are the noise of training, and left alone"""
STEP = 0.6
"""a target moves at most this far (in tolerances) at once"""
GAIN = 0.8
REACH = 2.5
"""a target stays within this many tolerances of the expert's figure"""
RAISE = 1.7
PACE = 2.5
"""least weight of the speed beside a course"""
MAX_WEIGHT = 4.0
TOGETHER = 0.25
"""legs that are less than this (cycles) apart are not meant to alternate"""
FITS = 0.5
"""the expert itself would earn at least that of a textbook's knee and thigh, or its own are asked for"""
ASSUMED_DUTY = 0.6
"""where the video does not show how long a foot stands; said so in the reward's comment"""


@dataclass(frozen=True)
class Knob:
    """A target: the descriptor it is for, how a descriptor's figure becomes the reward's unit (and
    back), and that unit."""

    descriptor: str
    unit: str
    to_reward: Any
    to_descriptor: Any


def _scaled(factor: float) -> tuple[Any, Any]:
    return (lambda d: d * factor), (lambda r: r / factor)


def knobs(robot: Robot) -> dict[str, Knob]:
    """The targets there are. Lengths by leg length, speed by Froude number (equal v/sqrt(g L))."""
    leg = robot.leg_length_m
    beat = math.sqrt(leg / GRAVITY)
    return {
        "period": Knob("cadence", "s, one stride", lambda d: beat / d, lambda r: beat / r),
        "speed": Knob("speed", "m/s", *_scaled(math.sqrt(GRAVITY * leg))),
        "lean": Knob("lean", "rad, trunk pitch", *_scaled(math.pi / 180)),
        "duty": Knob("duty", "fraction of the stride a foot stands", *_scaled(1.0)),
        "step": Knob("step", "m, ankle to ankle", *_scaled(leg)),
        "knee": Knob("knee", "rad, flexion in swing", *_scaled(math.pi / 180)),
        "thigh": Knob("thigh", "rad, from back to front", *_scaled(math.pi / 180)),
        "bob": Knob("bob", "m, rise and fall of the hip", *_scaled(leg)),
        "height": Knob("height", "m, mean height of the hip", *_scaled(leg)),
        "duty_skew": Knob(
            "duty_skew", "of duty: more on the right, less on the left", *_scaled(1.0)
        ),
        "knee_skew": Knob("knee_skew", "rad, of knee: the same", *_scaled(math.pi / 180)),
        "thigh_skew": Knob("thigh_skew", "rad, of thigh: the same", *_scaled(math.pi / 180)),
    }


TERMS = {
    "alive": "alive(s)",
    "speed": 'speed(s, TARGET["speed"], width=0.5)',
    "upright": 'upright(s, TARGET["lean"], width=0.25)',
    "clock": 'clock(s, TARGET["duty"])',
    "step": 'step(s, TARGET["step"], width=0.25)',
    "knee": 'knee(s, TARGET["knee"], TARGET["duty"], width=0.3)',
    "thigh": 'thigh(s, TARGET["thigh"], width=0.3)',
    "bob": 'bob(s, HIP_HEIGHT, TARGET["bob"], width=0.04)',
    "hip": 'hip(s, TARGET["height"], width=0.1)',
    "smooth": "smooth(s)",
    "energy": "energy(s)",
}
"""the library in the order of a reward file: how each term is called"""
FOLLOW = {
    "knee": 'follow(s, flexion, TARGET["knee"], COURSE["knee"], width=0.3)',
    "thigh": 'follow(s, thigh_angle, TARGET["thigh"], COURSE["thigh"], width=0.3)',
}
"""how those are called that follow the expert's own courses"""
TURNS = 'turns(s, TARGET["duty"], LANDING)'
"""the clock of legs that land when the expert's do"""
GOAL = {"alive": 1.0, "speed": 1.0, "upright": 1.0, "smooth": 0.3, "energy": 0.1}
SHAPES = ("clock", "step", "knee", "thigh", "bob", "hip")
"""terms that shape the gait; the author switches them on"""
SERVES = {
    "speed": "speed", "cadence": "clock", "duty": "clock", "airborne": "clock", "lag": "step",
    "step": "step", "bob": "bob", "knee": "knee", "thigh": "thigh", "lean": "upright", "sway": "upright",
    "height": "hip", "duty_skew": "clock", "knee_skew": "knee", "thigh_skew": "thigh",
}  # fmt: skip
"""which term answers for which descriptor"""


@dataclass(frozen=True)
class Draft:
    """A reward as its figures; `source` writes it down.

    `courses`: term -> leg -> mean (rad), then cosine and sine of each harmonic, of range 1; that term
    follows them. `landings`: leg -> phase, and its stance in units of the mean; the clock follows them.
    """

    targets: dict[str, float]
    weights: dict[str, float]
    courses: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    landings: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def with_target(self, name: str, value: float) -> Draft:
        return replace(self, targets=self.targets | {name: value})

    def with_weight(self, name: str, value: float) -> Draft:
        return replace(self, weights=self.weights | {name: value})

    def with_term(self, name: str) -> Draft:
        """The term switched on. Legs can follow a course on the spot too, so the speed weighs more."""
        on = self.with_weight(name, 1.0)
        slow = name in self.courses and self.weights.get("speed", 0.0) < PACE
        return on.with_weight("speed", PACE) if slow else on


@dataclass(frozen=True)
class Candidate:
    """A proposed reward: where its training starts (scratch or warm), its seed within the study,
    and in a few words what was changed and why."""

    name: str
    source: str
    start: str
    seed: int
    note: str


def source(draft: Draft, robot: Robot, said: str, assumed: Sequence[str] = ()) -> str:
    """The reward file of a draft: what is switched off does not appear."""
    terms = calls(draft, robot)
    names = [*terms, *(name for name in draft.weights if name not in terms)]
    used = {name: terms.get(name, f"{name}(s)") for name in names if draft.weights.get(name)}
    text = "\n".join(used.values())
    units = {name: knob.unit for name, knob in knobs(robot).items()}
    told = "; assumed, the video does not show it"
    unseen = {name: told if name in assumed else "" for name in units}
    lines = [
        f'"""{said}"""',
        "",
        f"PERIOD = {_figure(draft.targets['period'])}  # {units['period']}{unseen['period']}",
    ]
    if "HIP_HEIGHT" in text:
        lines.append(f"HIP_HEIGHT = {_figure(hip_height(robot))}  # m, walking")
    if "CROUCH" in text:
        bend = crouch(draft.targets["height"], robot)
        lines.append(f"CROUCH = {_figure(bend)}  # rad, knees that hold the hip so low")
    lines += ["", "TARGET = {"]
    for name in knobs(robot):
        if f'TARGET["{name}"]' in text:
            note = f"{units[name]}{unseen[name]}"
            lines.append(f'    "{name}": {_figure(draft.targets[name])},  # {note}')
    lines += ["}", ""]
    lines += [line for table in tables(draft, text) for line in (*table, "")]
    lines += ["WEIGHT = {"]
    lines += [f'    "{name}": {_figure(draft.weights[name])},' for name in used]
    lines += ["}", "", "", "def reward(s):", "    return {"]
    lines += [f'        "{name}": WEIGHT["{name}"] * {call},' for name, call in used.items()]
    return "\n".join([*lines, "    }", ""])


def tables(draft: Draft, text: str) -> list[list[str]]:
    """The constants that the calls in `text` read of courses and landings, as lines."""

    def rows(legs: Mapping[str, Sequence[float]], indent: str) -> list[str]:
        return [f'{indent}"{g}": [{", ".join(map(_figure, row))}],' for g, row in legs.items()]

    made = []
    if "LANDING" in text:
        head = "# of each leg: phase of its landing, its stance in units of duty"
        made.append([head, "LANDING = {", *rows(draft.landings, "    "), "}"])
    if "COURSE" in text:
        head = "# of each leg: mean (rad), then cosine and sine of each harmonic, of range 1"
        named = [n for n in draft.courses if f'COURSE["{n}"]' in text]
        body = [
            line
            for n in named
            for line in (f'    "{n}": {{', *rows(draft.courses[n], "        "), "    },")
        ]
        made.append([head, "COURSE = {", *body, "}"])
    return made


def calls(draft: Draft, robot: Robot) -> dict[str, str]:
    """`TERMS` for this motion: who walks backwards lands with the leg that is behind; who hops
    lands on all feet at once, and is lowest while they stand; who crouches stands on bent knees; who
    limps has a right and a left leg, and of a low hip the height does not tell which knee bends. A
    course says all that of itself."""
    calls = dict(TERMS)
    skews = [name for name in SKEWS if name in draft.targets]
    for name in skews:
        term = SERVES[name]
        calls[term] = calls[term][:-1] + f', skew=TARGET["{name}"])'
    if "skew" in calls["clock"]:
        calls["knee"] = calls["knee"][:-1] + ', duty_skew=TARGET["duty_skew"])'
    if "height" in draft.targets and not skews:
        calls["bob"] = calls["bob"].replace("HIP_HEIGHT", 'TARGET["height"]')
        calls["knee"] = calls["knee"][:-1] + ", stand=CROUCH)"
        calls["thigh"] = calls["thigh"][:-1] + ", offset=CROUCH / 2)"
    if draft.targets.get("speed", 0.0) < 0:
        for name in ("step", "thigh"):
            calls[name] = calls[name].replace("TARGET", "-TARGET")
    if draft.targets.get("lag", 0.5) < TOGETHER:
        for name in ("clock", "knee", "thigh", "bob"):
            calls[name] = calls[name][:-1] + ", together=True)"
    if len(robot.feet) == 1 or "together" in calls["bob"]:
        calls["bob"] = calls["bob"][:-1] + ', lowest=TARGET["duty"] / 2)'
    for term in draft.courses:
        skew = f', skew=TARGET["{term}_skew"])' if f"{term}_skew" in skews else ")"
        calls[term] = FOLLOW[term][:-1] + skew
    if draft.landings:
        calls["clock"] = TURNS
    return calls


def hip_height(robot: Robot) -> float:
    """Mean height (m) of the hip in a walk: a little less than the leg is long."""
    return UPRIGHT * robot.leg_length_m


def crouch(height: float, robot: Robot) -> float:
    """Flexion (rad) of a standing knee that brings the hip from a walk's height down to `height` m:
    thigh and shank, equally long, turn from the vertical by half of it each."""
    return 2 * math.acos(min(height / hip_height(robot), 1.0))


def _figure(value: float) -> str:
    return repr(float(f"{value:.4g}"))


def expert_targets(expert: Motion, robot: Robot) -> tuple[dict[str, float], tuple[str, ...]]:
    """Every target at the expert's own figure, in the reward's units, and the names of those that
    the video did not give; and the legs' lag, which no term takes as its target."""
    fallback = {"lean": 0.0, "duty": ASSUMED_DUTY}
    targets, assumed = {}, []
    for name, knob in knobs(robot).items():
        d = expert.descriptors[knob.descriptor]
        if name in SKEWS and name not in measurable(robot.keypoints):
            continue
        if d.usable and d.value is not None:
            targets[name] = knob.to_reward(d.value)
        elif name in fallback:
            targets[name] = knob.to_reward(fallback[name])
            assumed.append(name)
    if (lag := apart(expert)) is not None:
        targets["lag"] = lag
    return targets, tuple(assumed)


def begin(expert: Motion, robot: Robot, period: float = 1.0) -> tuple[Draft, tuple[str, ...]]:
    """The goal as a draft, every target at the expert's own figure (`period`, s, where the video shows
    none), with the courses and landings that the robot's terms follow; and the names of the targets
    that the video did not give.

    What shall not be asked for has no target: the hip of who limps does not rise with every landing;
    that of who follows courses does as they make it, and so do steps that would not fit them.
    """
    targets, assumed = expert_targets(expert, robot)
    if "period" not in targets:
        targets["period"], assumed = period, (*assumed, "period")
    known = _on_legs(expert.courses, robot, targets)
    earned = _by_the_textbook(known, robot, targets)
    joints: list[str] = [name for name in ("knee", "thigh") if name in earned]
    courses, landings, without = {}, {}, set()
    if not targets.keys().isdisjoint(SKEWS):
        without = {"bob"}
    if any(earned[name] < FITS for name in joints):
        courses = {name: {leg: _of_range_1(c, name) for leg, c in known.items()} for name in joints}
        without = {"bob"} if earned.get("step", 0.0) >= FITS else {"bob", "step"}
        if len(expert.courses) > 1:
            mean = max(sum(c.duty for c in known.values()) / len(known), 1e-3)
            landings = {leg: (c.landing, c.duty / mean) for leg, c in known.items()}
            without |= {"duty_skew"}
    kept = {name: value for name, value in targets.items() if name not in without}
    return Draft(kept, dict(GOAL), courses, landings), assumed


def _on_legs(
    known: Mapping[str, Course], robot: Robot, targets: Mapping[str, float]
) -> dict[str, Course]:
    """A course for each of the robot's legs: its own, or of the only one that was measured, with which
    the others take turns as the clock does. Empty for other bodies."""
    legs = tuple(robot.feet)
    if set(legs) <= known.keys():
        return {leg: known[leg] for leg in legs}
    if len(known) != 1 or not {*legs, *known} <= {"right", "left"}:
        return {}
    (one,) = known.values()
    late = targets.get("duty_skew", 0.0)
    late += 0.0 if targets.get("lag", 0.5) < TOGETHER else 1 / len(legs)
    return {leg: one.later(i * late) for i, leg in enumerate(legs)}


def _by_the_textbook(
    known: Mapping[str, Course], robot: Robot, targets: Mapping[str, float]
) -> dict[str, float]:
    """What the expert itself would earn of the terms that see its legs alone."""
    draft = Draft(dict(targets), {})
    seen = [t for t in shapes(robot, draft) if t in ("knee", "thigh", "step")] if known else []
    if not seen:
        return {}
    text = source(replace(draft, weights=dict.fromkeys(seen, 1.0)), robot, "Try the expert.")
    return compile_reward(text, robot.fields).means(_posed(known, robot))


def _posed(known: Mapping[str, Course], robot: Robot) -> dict[str, np.ndarray]:
    """The expert's legs as this robot's fields over one cycle, `[64, ...]`."""
    phase, names = np.arange(64) / 64, list(robot.keypoints)
    points = np.zeros((64, len(names), 3))
    for leg, c in known.items():
        at = np.zeros((64, 3))
        thigh, bend = (np.radians(curve(course, phase)) for course in (c.thigh, c.knee))
        for joint, angle in (("knee", thigh), ("ankle", thigh - bend)):
            bone = np.stack([np.sin(angle), np.zeros(64), -np.cos(angle)], axis=1)
            at = at + robot.leg_length_m / 2 * bone
            if f"{leg}_{joint}" in names:
                points[:, names.index(f"{leg}_{joint}")] = at
    return {"phase": phase, "keypoint_pos": points}


def _of_range_1(course: Course, name: str) -> list[float]:
    """An angle of a leg from degrees to what `follow` reads, where a knee's flexion has no sign."""
    angle = course.knee if name == "knee" else course.thigh
    sign = -1 if name == "knee" and angle[0] < 0 else 1
    mean, *waves = (sign * math.radians(x) for x in angle)
    reach = float(np.ptp(curve((0.0, *waves), np.arange(64) / 64)))
    return [mean, *(x / max(reach, 1e-6) for x in waves)]


def shapes(robot: Robot, draft: Draft) -> tuple[str, ...]:
    """The shaping terms that this robot's body has and that have their targets."""
    usable = []
    for name in SHAPES:
        if "period" in draft.targets and _written(name) <= draft.targets.keys():
            one = replace(draft, weights={name: 1.0})
            try:
                compile_reward(source(one, robot, "Try one term."), robot.fields)
                usable.append(name)
            except RewardError:
                continue
    return tuple(usable)


def _written(term: str) -> set[str]:
    """Names of the targets in a term's call."""
    return {part.split('"')[0] for part in TERMS[term].split('TARGET["')[1:]}


def read(reward: Reward | None, base: Draft, native: Sequence[str] = ()) -> Draft | None:
    """The draft that a reward file of this form was written from; targets that it does not name, and
    courses, are those of `base`, and a term without its target is left out. None for another form."""
    if reward is None:
        return None
    mine, weights = reward.constants.get("TARGET"), reward.constants.get("WEIGHT")
    if (
        not isinstance(mine, dict)
        or not isinstance(weights, dict)
        or not weights.keys() <= {*TERMS, *native}
    ):
        return None
    period = {"period": reward.period} if reward.period else {}
    targets = base.targets | mine | period
    kept = {
        str(name): float(weight)
        for name, weight in weights.items()
        if name not in TERMS or _written(name) <= targets.keys()
    }
    return replace(base, targets=targets, weights=kept)


def errors(expert: Motion, learner: Mapping[str, float | None]) -> dict[str, float]:
    """Expert minus learner in tolerances for every usable descriptor that the learner's body could
    show; NaN where it shows none."""
    found = {}
    for name in SERVES:
        e = expert.descriptors[name]
        if name in learner and e.usable and e.value is not None:
            mine = learner[name]
            found[name] = math.nan if mine is None else (e.value - mine) / tolerance(name, e)
    return found


def slopes(trials: Sequence[Mapping[str, Any]], expert: Motion, robot: Robot) -> dict[str, float]:
    """For each target, how far its descriptor went when it went one tolerance: a secant over all
    trials and the bests they went on from, with one imagined trial of slope 1, within 0.35..1.5."""
    by_name = {t["name"]: t for t in trials}
    found = {}
    for name, knob in knobs(robot).items():
        e = expert.descriptors[knob.descriptor]
        if not e.usable:
            continue
        unit = tolerance(knob.descriptor, e)
        num = den = 0.09
        for child in trials:
            parent = by_name.get(child["parent"], {"targets": {}, "descriptors": {}})
            before, after = (t["targets"].get(name) for t in (parent, child))
            was, now = (t["descriptors"].get(knob.descriptor) for t in (parent, child))
            if None in (before, after, was, now):
                continue
            asked = (knob.to_descriptor(after) - knob.to_descriptor(before)) / unit
            if abs(asked) > 0.02:
                num += asked * (now - was) / unit
                den += asked * asked
        found[name] = min(1.5, max(0.35, num / den))
    return found


def aim(
    draft: Draft, error: Mapping[str, float], slope: Mapping[str, float], region: float,
    expert: Motion, robot: Robot,
) -> tuple[Draft, list[str]]:  # fmt: skip
    """Move the targets of the terms that are on."""
    notes = []
    for name, knob in knobs(robot).items():
        e = expert.descriptors[knob.descriptor]
        miss = error.get(knob.descriptor, math.nan)
        on = draft.weights.get(SERVES[knob.descriptor])
        asked = on and name in draft.targets
        if not asked or name not in slope or not abs(miss) >= DEAD or e.value is None:
            continue
        if name == "period" and abs(miss) > 1:  # it does not follow the clock: no other one helps
            continue
        unit = tolerance(knob.descriptor, e)
        move = max(-STEP, min(STEP, GAIN * miss / slope[name])) * region
        wanted = knob.to_descriptor(draft.targets[name]) + move * unit
        wanted = max(e.value - REACH * unit, min(e.value + REACH * unit, wanted))
        value = knob.to_reward(wanted)
        notes.append(f"{name} {_figure(draft.targets[name])} -> {_figure(value)}")
        draft = draft.with_target(name, value)
    return draft, notes


def weigh(
    draft: Draft, error: Mapping[str, float], shaping: Sequence[str], region: float, most: int
) -> tuple[Draft, list[str]]:
    """Switch on every missing shaping term; raise the terms of the `most` worst descriptors."""
    notes, raised = [], set()
    before = draft
    for term in shaping:
        if not draft.weights.get(term):
            draft = draft.with_term(term)
            notes.append(f"+{term}")
            raised.add(term)
    notes += _faster(before, draft)
    for name in _worst_first(error):
        term, weight = SERVES[name], draft.weights.get(SERVES[name], 0.0)
        if weight and term not in raised and len(raised) < most and not abs(error[name]) < 2 * DEAD:
            value = min(MAX_WEIGHT, weight * RAISE**region)
            if value > weight:
                notes.append(f"{term} x{value / weight:.2g}")
                draft = draft.with_weight(term, value)
                raised.add(term)
    return draft, notes


def switch_on_worst(
    draft: Draft, error: Mapping[str, float], shaping: Sequence[str]
) -> tuple[Draft, list[str]]:
    """Switch on the missing term of the worst descriptor that has one."""
    for name in _worst_first(error):
        term = SERVES[name]
        if term in shaping and not draft.weights.get(term) and not abs(error[name]) < 2 * DEAD:
            on = draft.with_term(term)
            return on, [f"+{term}", *_faster(draft, on)]
    return draft, []


def _faster(before: Draft, after: Draft) -> list[str]:
    was, now = (d.weights.get("speed", 0.0) for d in (before, after))
    return [f"speed x{now / was:.2g}"] if was and now > was else []


def _worst_first(error: Mapping[str, float]) -> list[str]:
    return sorted(error, key=lambda k: -abs(error[k]) if math.isfinite(error[k]) else -math.inf)


def propose(
    robot: Robot,
    expert: Motion,
    parent: Reward | None,
    feedback: Mapping[str, Any],
    *,
    task: str,
    count: int,
    native: Sequence[str] = (),
) -> list[Candidate]:
    """`count` candidates. `feedback` is the parent's feedback.json, empty before iteration 0;
    `native` names the user's own terms, each weighed 1 until the parent's reward says otherwise."""
    base, assumed = begin(expert, robot, parent.period if parent and parent.period else 1.0)
    targets = base.targets
    if "speed" not in targets:
        return []
    shaping = shapes(robot, base)
    iteration = int(feedback.get("iteration_number", -1)) + 1
    said = f"{task[:1].upper()}{task[1:]}"
    mine = dict.fromkeys(native, 1.0)
    base = replace(base, weights=base.weights | mine)
    draft = read(parent, base, native) if feedback.get("selected") else None
    moves: list[tuple[Draft, list[str], str]] = []
    if draft is None:
        # A leap with one leg ahead keeps the clock too, and a limp with the wrong knee stiff; whoever
        # learned it never leaves it.
        leaps, limps = targets.get("lag", 0.5) < TOGETHER, "knee_skew" in targets
        timing = [
            t for t in shaping if t == "clock" or (t == "step" and leaps) or (t == "knee" and limps)
        ]
        moves.append((base, ["the goal alone"], "scratch"))
        timed = reduce(Draft.with_term, timing, base)
        why = {"step": "legs side by side", "knee": "one knee stiff"}
        what = ["goal and gait clock", *(why[t] for t in timing if t in why)]
        moves += [(timed, what, "scratch")] * (count - 1)
    else:
        draft = replace(draft, weights=mine | draft.weights)
        error = errors(expert, feedback["descriptors"])
        slope = slopes(feedback["trials"], expert, robot)
        region = float(feedback["region"])
        warm = "warm" if feedback.get("selected") else "scratch"  # the seed's policy is untrained
        on, first = switch_on_worst(draft, error, shaping)
        aimed, notes = aim(on, error, slope, region, expert, robot)
        moves.append((aimed, first + notes, warm))
        weighed, notes = weigh(draft, error, shaping, region, 2)
        moves.append((weighed, notes, "scratch"))
        while len(moves) < count:
            both, notes = aim(draft, error, slope, region, expert, robot)
            both, more = weigh(both, error, shaping, region, len(moves) + 2)
            moves.append((both, notes + more, warm))
    candidates = []
    for i, (draft_i, notes, start) in enumerate(moves[:count]):
        note = ", ".join(notes) or "another seed of the best reward"
        text = source(draft_i, robot, f"{said}: {note}.", assumed)
        candidates.append(Candidate(f"c{i}", text, start, 10 * iteration + i, note))
    return candidates
