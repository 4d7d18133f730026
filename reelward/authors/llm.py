"""The author that writes: a language model edits the reward code, given what came of it.

Every candidate is asked for apart from the others, with an aim of its own, so a bad answer costs
one candidate and shifts none. What it writes is compiled in a locked process and never executed;
the compiler's complaints go back to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reelward.authors.base import Brief
from reelward.authors.draft import (
    PACE,
    begin,
    calls,
    expert_targets,
    knobs,
    shapes,
    tables,
)
from reelward.authors.reference import library_table
from reelward.checking import checked, robot_card
from reelward.language import RewardError, compile_reward
from reelward.language.native import Settings, native_card, native_terms
from reelward.models.chat import Chat, NoAnswer, form
from reelward.models.prompts import render
from reelward.models.schemas import Written
from reelward.models.server import ready
from reelward.records import Candidate, Proposal, Start, Training, Trial
from reelward.sim.robot import Robot

REPAIRS = 3
"""how often the compiler's complaints about a candidate go back"""
LINEAGE = 8
"""trials that are told of, the newest last"""
ERRORS = 12
"""complaints that are told of at once"""


def propose(brief: Brief) -> Proposal:
    """Candidates written by a model. `brief.evidence` is what it learns of the motion: the critique; the
    sheets, where it looks at expert and learner itself; or the reward's terms alone."""
    chat = Chat("author", brief.model)
    ready("author")
    robot, feedback, native = brief.robot, brief.feedback, brief.native
    shared = {
        "task": brief.task, "count": brief.count, "first": not feedback.trials,
        "parent": brief.parent, "form": form(Written),
        "robot": f"{robot.name}, leg {robot.leg_length_m:.3g} m, a step is {robot.dt:.3g} s",
        "fields": robot_card(robot.fields), "library": library_table(),
        "native": native_card(native),
        "pictures": len(brief.sheets), "training": _training(feedback.training),
        "refused": [f"{k}: {v.splitlines()[0]}" for k, v in feedback.refused.items()],
        **_motion(brief),
    }  # fmt: skip
    candidates: list[Candidate] = []
    for i in range(brief.count):
        start: Start = "warm" if feedback.selected and i != 1 else "scratch"
        prompt = render("author", number=i, start=start, **shared)
        source, note, error = _written(chat, robot, native, prompt, brief.sheets)
        if error is None and _clocked(source, robot, native) != _clocked(
            brief.parent, robot, native
        ):
            start = "scratch"  # the policy to go on from sees another state
        twins = [c.name for c in candidates if c.source == source and not c.error]
        twins += ["the parent's"] if source.strip() == brief.parent.strip() else []
        if twins and error is None:
            error = f"the same reward as {twins[0]}"
        seed = 10 * (feedback.number + 1) + i
        candidates.append(
            Candidate(name=f"c{i}", source=source, start=start, seed=seed, note=note, error=error)
        )
    return Proposal(author="llm", candidates=tuple(candidates), asked=chat.record())


def _written(
    chat: Chat, robot: Robot, native: Settings, prompt: str, sheets: Sequence[bytes]
) -> tuple[str, str, str | None]:
    """One reward: its text, its note, and why it cannot be used or None."""
    messages = [chat.user(prompt, sheets)]
    source, note = "", ""
    error: str | None = None
    try:
        for _ in range(1 + REPAIRS):
            answer = chat.ask(Written, messages)
            before, source, note = source, _bare(answer.reward), answer.note
            found = checked(source, robot, native)
            if found.ok:
                return source, note, None
            told = [str(e) for e in found.errors]
            error = "\n".join(told)
            if source == before:
                break  # the same again: it will not find it
            text = render("mend", errors=told[:ERRORS], form=form(Written))
            messages.append(chat.user(text))
    except NoAnswer as e:
        error = str(e)
    return source, note, error


def _clocked(source: str, robot: Robot, native: Settings) -> bool:
    """Whether a reward sets the gait clock that its policy then sees."""
    try:
        terms = native_terms(native)
        return compile_reward(source, robot.fields, native=terms).period is not None
    except RewardError:
        return False


def _bare(reward: str) -> str:
    """The file without the fence that models like to put around it."""
    lines = reward.strip().splitlines()
    if lines and lines[0].startswith("```"):
        lines = lines[1:-1] if lines[-1].startswith("```") else lines[1:]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _motion(brief: Brief) -> dict[str, Any]:
    """What a prompt says of the motion: nothing when only the reward's terms are evidence."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("targets", "courses", "differences", "lineage", "criteria"), ()
    )
    nothing |= {"description": "", "critique": None, "pace": PACE}
    if brief.evidence == "terms":
        return nothing
    robot, feedback = brief.robot, brief.feedback
    draft, assumed = begin(brief.expert, robot)
    figures = expert_targets(brief.expert, robot)[0] | draft.targets
    own = [
        calls(draft)[n]
        for n in shapes(robot, draft)
        if n in draft.courses or (n == "clock" and draft.landings)
    ]
    constants = tables(draft, robot, "\n".join(own))
    units = {name: knob.target.unit for name, knob in knobs(robot).items()}
    critique = feedback.critique
    motion = nothing | {
        "targets": [
            {"name": k, "value": f"{figures[k]:.4g}", "unit": unit, "assumed": k in assumed}
            for k, unit in units.items()
            if k in figures
        ],
        "courses": [line for table in constants for line in table] + own,
        "differences": [
            {"name": r.name, "expert": _figure(r.expert), "robot": _figure(r.learner),
             "off": _figure(r.off)}
            for r in (critique.usable_rows if critique else ())
        ],
        "lineage": lineage(feedback.trials),
    }  # fmt: skip
    if brief.evidence == "critique":
        motion |= {"description": brief.criteria.description, "criteria": brief.criteria.criteria}
        motion["critique"] = critique
    return motion


def lineage(trials: Sequence[Trial]) -> list[str]:
    """The last trials, a line each: parent, change, and what it did to the closeness."""
    closeness = {t.name: t.closeness for t in trials}
    lines = []
    for t in trials[-LINEAGE:]:
        before = closeness.get(t.parent)
        gain = "" if before is None else f" ({t.closeness - before:+.2f} on {t.parent})"
        failed = "" if t.failure == "none" else f", {t.failure}"
        lines.append(f"{t.name}: {t.note}: closeness {t.closeness:.2f}{gain}{failed}")
    return lines


def _training(training: Training | None) -> dict[str, Any] | None:
    if training is None:
        return None
    return {
        "episode_length": _points(training.episode_length),
        "terms": [
            {
                "name": name, "share": f"{100 * t.share:.0f} %", "points": _points(t.points),
                "min": _figure(t.min), "mean": _figure(t.mean), "max": _figure(t.max),
            }
            for name, t in training.terms.items()
        ],
    }  # fmt: skip


def _points(values: Sequence[float | None]) -> str:
    return " ".join(map(_figure, values))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
