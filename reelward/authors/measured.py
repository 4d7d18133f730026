"""The measured author: no language model. It moves targets and weights of named reward terms.

Iteration 0 is honest: the goal alone (speed, posture), and, where the video shows a rhythm, the goal
with a gait clock, targets straight from the video. From then on each candidate is one of three moves on the best reward so
far, from what training on it reached:

  aim    put each target beyond the expert's figure by what the learner falls short of it
  weigh  switch on every missing term, raise the weights of the terms whose descriptors are worst
  both

A target moves by 0.8 of the error over the slope, where the slope says how far a descriptor went
when its own target went (a diagonal secant over all trials so far, pulled towards 1). An iteration
that brought nothing halves the region in which the next one moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

from reelward.authors.base import Brief
from reelward.authors.draft import (
    TOGETHER,
    Draft,
    begin,
    figure,
    knobs,
    read,
    shapes,
    source,
)
from reelward.language import Reward, RewardError, compile_reward, native_terms
from reelward.measures.descriptors import SPECS
from reelward.measures.gait import tolerance
from reelward.motion.record import Motion
from reelward.records import Candidate, Proposal, Start, Trial
from reelward.runtime.errors import InputError
from reelward.sim.robot import Robot

DEAD = 0.1
"""errors below this (in tolerances) are the noise of training, and left alone"""
STEP = 0.6
"""a target moves at most this far (in tolerances) at once"""
GAIN = 0.8
REACH = 2.5
"""a target stays within this many tolerances of the expert's figure"""
RAISE = 1.7
MAX_WEIGHT = 4.0


def errors(expert: Motion, learner: Mapping[str, float | None]) -> dict[str, float]:
    """Expert minus learner in tolerances for every usable descriptor that the learner's body could
    show; NaN where it shows none."""
    found = {}
    for name in SPECS:
        e = expert.descriptors[name]
        if name in learner and e.usable and e.value is not None:
            mine = learner[name]
            found[name] = math.nan if mine is None else (e.value - mine) / tolerance(name, e)
    return found


def slopes(trials: Sequence[Trial], expert: Motion, robot: Robot) -> dict[str, float]:
    """For each target, how far its descriptor went when it went one tolerance: a secant over all
    trials and the bests they went on from, with one imagined trial of slope 1, within 0.35..1.5."""
    by_name = {t.name: t for t in trials}
    found = {}
    for name, knob in knobs(robot).items():
        e = expert.descriptors[knob.descriptor]
        if not e.usable:
            continue
        unit = tolerance(knob.descriptor, e)
        num = den = 0.09
        for child in trials:
            if (parent := by_name.get(child.parent)) is None:
                continue
            before, after = (t.targets.get(name) for t in (parent, child))
            was, now = (t.figures.get(knob.descriptor) for t in (parent, child))
            if before is None or after is None or was is None or now is None:
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
        asked = name in draft.targets and draft.weights.get(SPECS[knob.descriptor].term)
        if not asked or name not in slope or not abs(miss) >= DEAD or e.value is None:
            continue
        if name == "period" and abs(miss) > 1:  # it does not follow the clock: no other one helps
            continue
        unit = tolerance(knob.descriptor, e)
        move = max(-STEP, min(STEP, GAIN * miss / slope[name])) * region
        wanted = knob.to_descriptor(draft.targets[name]) + move * unit
        wanted = max(e.value - REACH * unit, min(e.value + REACH * unit, wanted))
        value = knob.to_reward(wanted)
        notes.append(f"{name} {figure(draft.targets[name])} -> {figure(value)}")
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
        term = SPECS[name].term
        weight = draft.weights.get(term, 0.0)
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
        term = SPECS[name].term
        if term in shaping and not draft.weights.get(term) and not abs(error[name]) < 2 * DEAD:
            on = draft.with_term(term)
            return on, [f"+{term}", *_faster(draft, on)]
    return draft, []


def _faster(before: Draft, after: Draft) -> list[str]:
    was, now = (d.weights.get("speed", 0.0) for d in (before, after))
    return [f"speed x{now / was:.2g}"] if was and now > was else []


def _worst_first(error: Mapping[str, float]) -> list[str]:
    return sorted(error, key=lambda k: -abs(error[k]) if math.isfinite(error[k]) else -math.inf)


def propose(brief: Brief) -> Proposal:
    """Candidates. The user's own terms are weighed 1 until the parent's reward says otherwise. Raises
    InputError where the video gives no speed to aim at."""
    robot, expert, feedback = brief.robot, brief.expert, brief.feedback
    base, assumed = begin(expert, robot)
    targets = base.targets
    if "speed" not in targets:
        raise InputError(
            "the expert's speed is not usable, so there is nothing to aim at; give another video, "
            "or set keyframes.time_scale"
        )
    shaping = shapes(robot, base)
    count = brief.count
    task = f"{brief.task[:1].upper()}{brief.task[1:]}"
    mine = dict.fromkeys(brief.native, 1.0)
    base = replace(base, weights=base.weights | mine)
    draft = read(_compiled(brief), base, tuple(brief.native)) if feedback.selected else None
    moves: list[tuple[Draft, list[str], Start]] = []
    if draft is None:
        # A leap with one leg ahead keeps the clock too, and a limp with the wrong knee stiff; whoever
        # learned it never leaves it.
        leaps, limps = targets.get("lag", 0.5) < TOGETHER, "knee_skew" in targets
        timing = [
            t for t in shaping if t == "clock" or (t == "step" and leaps) or (t == "knee" and limps)
        ]
        moves.append((base, ["the goal alone"], "scratch"))
        timed = reduce(Draft.with_term, timing, base)
        why = {
            "clock": "goal and gait clock",
            "step": "legs side by side",
            "knee": "one knee stiff",
        }
        what = [why[t] for t in timing] or ["the goal alone, another seed"]
        moves += [(timed, what, "scratch")] * (count - 1)
    else:
        draft = replace(draft, weights=mine | draft.weights)
        assert feedback.critique is not None
        learner = {row.name: row.learner for row in feedback.critique.usable_rows}
        error = errors(expert, learner)
        slope = slopes(feedback.trials, expert, robot)
        region = feedback.region
        on, first = switch_on_worst(draft, error, shaping)
        aimed, notes = aim(on, error, slope, region, expert, robot)
        moves.append((aimed, first + notes, "warm"))
        weighed, notes = weigh(draft, error, shaping, region, 2)
        moves.append((weighed, notes, "scratch"))
        while len(moves) < count:
            both, notes = aim(draft, error, slope, region, expert, robot)
            both, more = weigh(both, error, shaping, region, len(moves) + 2)
            moves.append((both, notes + more, "warm"))
    candidates = []
    for i, (draft_i, notes, start) in enumerate(moves[:count]):
        note = ", ".join(notes) or "another seed of the best reward"
        text = source(draft_i, robot, f"{task}: {note}.", assumed)
        seed = 10 * (feedback.number + 1) + i
        candidates.append(Candidate(name=f"c{i}", source=text, start=start, seed=seed, note=note))
    return Proposal(author="measured", candidates=tuple(candidates))


def _compiled(brief: Brief) -> Reward | None:
    """The parent's reward; None where it does not compile."""
    try:
        native = native_terms(brief.native)
        return compile_reward(brief.parent, brief.robot.fields, native=native)
    except RewardError:
        return None
