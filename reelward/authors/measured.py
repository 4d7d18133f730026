"""The measured author: no language model. It moves the targets and weights of named reward terms.

Iteration 0 proposes the goal alone (speed, posture), or in its place the reward that the study starts
from where that is the user's own, and, where the video shows a rhythm, the goal with a gait clock.
All targets are the expert's figures. After that, each candidate is one of three moves from the best
reward so far, given the figures that its training reached:

  aim    move each target beyond the expert's figure by the learner's remaining error
  weigh  switch on all missing terms, and raise the weights of the terms with the worst descriptors
  both

A target moves by 0.8 of the error divided by the slope. The slope estimates how far a descriptor
moves when its target moves by one tolerance: a diagonal secant over all trials, shrunk towards 1. An
iteration without a gain halves the size of the next moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

from reelward.authors.base import Brief, own_reward
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
from reelward.measures.describe import TIME_UNKNOWN, tolerance
from reelward.measures.descriptors import SPECS
from reelward.motion.record import Motion
from reelward.records import Candidate, Proposal, Start, Trial
from reelward.runtime.errors import InputError
from reelward.sim.mjcf import Robot

DEAD = 0.1
"""smaller errors (in tolerances) are noise of training and change nothing"""
STEP = 0.6
"""maximum move of a target in one iteration (in tolerances)"""
GAIN = 0.8
"""fraction of the error that a move corrects"""
REACH = 2.5
"""maximum distance of a target from the expert's figure (in tolerances)"""
RAISE = 1.7
"""factor by which a weight is raised"""
MAX_WEIGHT = 4.0


def errors(expert: Motion, learner: Mapping[str, float | None]) -> dict[str, float]:
    """Expert minus learner, in tolerances, for each usable descriptor in `learner`; NaN where the
    learner's motion does not show it."""
    errors = {}
    for name in SPECS:
        e = expert.descriptors[name]
        if name in learner and e.usable and e.value is not None:
            value = learner[name]
            errors[name] = math.nan if value is None else (e.value - value) / tolerance(name, e)
    return errors


def slopes(trials: Sequence[Trial], expert: Motion, robot: Robot) -> dict[str, float]:
    """For each target, the estimated move of its descriptor per move of the target: a secant over all
    pairs of trial and parent and one prior trial of slope 1, limited to 0.35..1.5."""
    by_name = {t.name: t for t in trials}
    slopes = {}
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
            old, new = (t.figures.get(knob.descriptor) for t in (parent, child))
            if before is None or after is None or old is None or new is None:
                continue
            move = (knob.to_descriptor(after) - knob.to_descriptor(before)) / unit
            if abs(move) > 0.02:
                num += move * (new - old) / unit
                den += move * move
        slopes[name] = min(1.5, max(0.35, num / den))
    return slopes


def aim(
    draft: Draft, error: Mapping[str, float], slope: Mapping[str, float], region: float,
    expert: Motion, robot: Robot,
) -> tuple[Draft, list[str]]:  # fmt: skip
    """The draft with moved targets of the terms that are on, and a note of each move."""
    notes = []
    for name, knob in knobs(robot).items():
        e = expert.descriptors[knob.descriptor]
        miss = error.get(knob.descriptor, math.nan)
        active = name in draft.targets and draft.weights.get(SPECS[knob.descriptor].term)
        if not active or name not in slope or not abs(miss) >= DEAD or e.value is None:
            continue
        if (
            name == "period" and abs(miss) > 1
        ):  # it does not follow the clock; another will not help
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
    """The draft with all missing shaping terms on and the terms of the `most` worst descriptors raised,
    and a note of each change."""
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
    """The draft with the missing term of the worst descriptor on, and a note of it."""
    for name in _worst_first(error):
        term = SPECS[name].term
        if term in shaping and not draft.weights.get(term) and not abs(error[name]) < 2 * DEAD:
            on = draft.with_term(term)
            return on, [f"+{term}", *_faster(draft, on)]
    return draft, []


def _faster(before: Draft, after: Draft) -> list[str]:
    old, new = (d.weights.get("speed", 0.0) for d in (before, after))
    return [f"speed x{new / old:.2g}"] if old and new > old else []


def _worst_first(error: Mapping[str, float]) -> list[str]:
    return sorted(error, key=lambda k: -abs(error[k]) if math.isfinite(error[k]) else -math.inf)


class Move(NamedTuple):
    """A draft to propose, what it changes, and where its training starts."""

    draft: Draft
    notes: list[str]
    start: Start


def propose(brief: Brief) -> Proposal:
    """The candidates of an iteration. The user's own terms weigh 1 unless the parent's reward says
    otherwise. Raises InputError if the expert's speed is unknown."""
    robot, expert = brief.robot, brief.expert
    if expert.subject == "none" or not isinstance(robot, Robot):
        raise InputError(
            "the measured author aims at the figures of a video with a robot that has an MJCF; set "
            "propose.author to llm or fixed"
        )
    base, assumed = begin(expert, robot)
    if "speed" not in base.targets:
        why = expert.descriptors["speed"].why
        remedy = "set keyframes.time_scale, " if why == TIME_UNKNOWN else ""
        raise InputError(
            f"the expert's speed is not usable ({why}), so there is nothing to aim at; {remedy}give "
            "another video of one person from the side, or let a model look at this one: set "
            "propose.author to llm and propose.evidence to sheets"
        )
    shaping = shapes(robot, base)
    own = dict.fromkeys(brief.native, 1.0)
    base = replace(base, weights=base.weights | own)
    parent = read(_compiled(brief), base, tuple(brief.native))
    if parent:
        parent = replace(parent, weights=own | parent.weights)
    if parent and brief.feedback.selected:
        moves = next_moves(brief, robot, parent, shaping)
    else:
        moves = first_moves(base, shaping, brief.count)
    task = f"{brief.task[:1].upper()}{brief.task[1:]}"
    candidates = []
    for i, (draft, notes, start) in enumerate(moves[: brief.count]):
        note = ", ".join(notes) or "another seed of the best reward"
        text = source(draft, robot, f"{task}: {note}.", assumed)
        candidates.append(Candidate(name=f"c{i}", source=text, start=start, number=i, note=note))
    if users := own_reward(brief):
        candidates[0] = users
    return Proposal(author="measured", candidates=tuple(candidates))


def first_moves(base: Draft, shaping: Sequence[str], count: int) -> list[Move]:
    """The goal alone, then the goal with a gait clock."""
    # A leap that lands one leg first, and a limp with the wrong knee stiff, satisfy the clock as well.
    # A policy never unlearns them, so the terms that tell them apart are on from the start.
    leaps, limps = base.targets.get("lag", 0.5) < TOGETHER, "knee_skew" in base.targets
    timing = [
        t for t in shaping if t == "clock" or (t == "step" and leaps) or (t == "knee" and limps)
    ]
    first = Move(base, ["the goal alone"], "scratch")
    timed = reduce(Draft.with_term, timing, base)
    why = {"clock": "goal and gait clock", "step": "legs side by side", "knee": "one knee stiff"}
    notes = [why[t] for t in timing] or ["the goal alone, another seed"]
    return [first] + [Move(timed, notes, "scratch")] * (count - 1)


def next_moves(brief: Brief, robot: Robot, parent: Draft, shaping: Sequence[str]) -> list[Move]:
    """Aim, weigh, and both: moves from the best reward so far."""
    expert, feedback, region = brief.expert, brief.feedback, brief.feedback.region
    assert feedback.critique is not None
    learner = {row.name: row.learner for row in feedback.critique.usable_rows}
    error = errors(expert, learner)
    slope = slopes(feedback.trials, expert, robot)
    on, notes = switch_on_worst(parent, error, shaping)
    aimed, more = aim(on, error, slope, region, expert, robot)
    weighed, changes = weigh(parent, error, shaping, region, 2)
    moves = [Move(aimed, notes + more, "warm"), Move(weighed, changes, "scratch")]
    while len(moves) < brief.count:
        both, notes = aim(parent, error, slope, region, expert, robot)
        both, more = weigh(both, error, shaping, region, len(moves) + 2)
        moves.append(Move(both, notes + more, "warm"))
    return moves


def _compiled(brief: Brief) -> Reward | None:
    """The parent's reward; None where it does not compile."""
    try:
        native = native_terms(brief.native)
        return compile_reward(brief.parent, brief.robot.fields, native=native)
    except RewardError:
        return None
