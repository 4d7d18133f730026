"""The author that is a language model: it edits the reward code, given the results so far.

Every candidate is asked for by itself and with its own aim, so a bad answer costs one candidate and
changes no other. The reward is compiled in a locked process and never executed as Python; the
compiler's messages go back to the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reelward.authors.base import Brief, own_reward
from reelward.authors.draft import PACE, begin, calls, expert_targets, knobs, shapes, tables
from reelward.authors.reference import library_table
from reelward.checking import checked, robot_card
from reelward.language import RewardError, compile_reward
from reelward.language.main import MAX_TERMS
from reelward.language.native import native_card, native_terms
from reelward.language.source import MAX_SOURCE
from reelward.models.chat import Chat, NoAnswer, form
from reelward.models.prompts import Variables, figure, render
from reelward.models.schemas import RewardAnswer
from reelward.models.server import ready
from reelward.motion.record import Motion
from reelward.records import Candidate, Proposal, Start, Training, Trial
from reelward.runtime import words
from reelward.sim.mjcf import Robot

REPAIRS = 3
"""times that the compiler's messages about a candidate go back to the model"""
LINEAGE = 8
"""trials in a prompt, the newest last"""
ERRORS = 12
"""messages of the compiler in a prompt"""


class Result(NamedTuple):
    """A reward as the model wrote it last; `error` says why it cannot be used."""

    source: str
    note: str
    error: str | None


def propose(brief: Brief) -> Proposal:
    """Candidates written by a model. `brief.evidence` chooses what it learns of the motion: the
    critique; the contact sheets, on which it looks at expert and robot itself; or nothing beyond the
    figures of the reward's terms. Raises InputError or NetworkError if the model cannot be asked."""
    chat = Chat("author", brief.model)
    ready("author")
    shared = _variables(brief)
    own = own_reward(brief)
    candidates = [own] if own else []
    for i in range(len(candidates), brief.count):
        start: Start = "warm" if brief.feedback.selected and i != 1 else "scratch"
        prompt = render("author", **shared, number=i, start=start)
        source, note, error = _write(chat, brief, prompt)
        if error is None:
            if _has_clock(source, brief) != _has_clock(brief.parent, brief):
                start = "scratch"  # the parent's policy observes another state
            same = [c.name for c in candidates if c.source == source and not c.error]
            same += ["the parent's"] if source.strip() == brief.parent.strip() else []
            error = f"the same reward as {same[0]}" if same else None
        candidates.append(
            Candidate(name=f"c{i}", source=source, start=start, number=i, note=note, error=error)
        )
    return Proposal(author="llm", candidates=tuple(candidates), model_calls=chat.record())


def _write(chat: Chat, brief: Brief, prompt: str) -> Result:
    """One reward, corrected by the model until it compiles or the repairs are used up."""
    messages = [chat.user(prompt, list(brief.sheets.values()))]
    result = Result("", "", None)
    try:
        for _ in range(1 + REPAIRS):
            answer = chat.ask(RewardAnswer, messages)
            source = _without_fence(answer.reward)
            check = checked(source, brief.robot, brief.native)
            if check.ok:
                return Result(source, answer.note, None)
            repeated = source == result.source
            errors = [str(error) for error in check.errors]
            result = Result(source, answer.note, "\n".join(errors))
            if repeated:
                break  # the model does not find the mistake
            mend = render("mend", errors=errors[:ERRORS], form=form(RewardAnswer))
            messages.append(chat.user(mend))
    except NoAnswer as e:
        return result._replace(error=str(e))
    return result


def _has_clock(source: str, brief: Brief) -> bool:
    """Whether a reward sets the gait clock, which its policy then observes."""
    try:
        native = native_terms(brief.native)
        return compile_reward(source, brief.robot.fields, native=native).period is not None
    except RewardError:
        return False


def _without_fence(reward: str) -> str:
    """The file without the Markdown fence that models like to put around it. A file of one line
    with `\\n` in it was escaped twice."""
    if "\n" not in reward.strip() and "\\n" in reward:
        reward = reward.replace("\\n", "\n").replace('\\"', '"')
    lines = words.lines(reward.strip())
    if lines and lines[0].startswith("```"):
        lines = lines[1:-1] if lines[-1].startswith("```") else lines[1:]
    return "\n".join(line.rstrip() for line in lines) + "\n"


# --- the variables of prompts/author.md ---------------------------------------------------------


def _variables(brief: Brief) -> Variables:
    """Those that all candidates share. What the evidence leaves out is empty."""
    robot, feedback = brief.robot, brief.feedback
    leg = f", leg {robot.leg_length_m:.3g} m" if isinstance(robot, Robot) else ""
    variables: Variables = {
        "task": brief.task, "count": brief.count, "first": not feedback.trials,
        "parent": brief.parent, "form": form(RewardAnswer),
        "robot": f"{robot.name}{leg}, a step is {robot.dt:.3g} s",
        "fields": robot_card(robot.fields), "library": library_table(),
        "max_terms": MAX_TERMS, "max_kib": MAX_SOURCE // 1024,
        "native": native_card(brief.native), "pictures": list(brief.sheets),
        "training": _training(feedback.training) if feedback.training else None,
        "refused": [f"{k}: {words.one_line(words.lines(v)[0])}" for k, v in feedback.refused.items()],
        "targets": (), "courses": (), "pace": PACE, "differences": (), "lineage": (),
        "description": "", "criteria": (), "critique": None,
    }  # fmt: skip
    if brief.evidence != "terms":
        rows = feedback.critique.usable_rows if feedback.critique else ()
        if isinstance(robot, Robot) and brief.expert.subject != "none":
            variables |= _expert(brief.expert, robot)
        variables["differences"] = [
            {"name": row.name, "expert": figure(row.expert), "robot": figure(row.learner),
             "off": figure(row.off)}
            for row in rows
        ]  # fmt: skip
        variables["lineage"] = lineage(feedback.trials)
    if brief.evidence == "critique":
        variables["description"] = brief.criteria.description
        variables["criteria"] = brief.criteria.criteria
        variables["critique"] = feedback.critique
    return variables


def _expert(expert: Motion, robot: Robot) -> Variables:
    """The expert's figures as targets for this robot; its courses and the calls that follow them."""
    draft, assumed = begin(expert, robot)
    figures = expert_targets(expert, robot)[0] | draft.targets
    follow = [
        calls(draft)[name]
        for name in shapes(robot, draft)
        if name in draft.courses or (name == "clock" and draft.landings)
    ]
    constants = tables(draft, robot, "\n".join(follow))
    units = {name: knob.target.unit for name, knob in knobs(robot).items()}
    return {
        "targets": [
            {"name": k, "value": f"{figures[k]:.4g}", "unit": unit, "assumed": k in assumed}
            for k, unit in units.items()
            if k in figures
        ],
        "courses": [line for table in constants for line in table] + follow,
    }


def lineage(trials: Sequence[Trial]) -> list[str]:
    """The last trials, a line each: the change, the closeness and its gain on the parent."""
    closeness = {t.name: t.closeness for t in trials}
    lines = []
    for t in trials[-LINEAGE:]:
        before = closeness.get(t.parent)
        gain = "" if before is None else f" ({t.closeness - before:+.2f} on {t.parent})"
        failure = "" if t.failure == "none" else f", {t.failure}"
        lines.append(f"{t.name}: {t.note}: closeness {t.closeness:.2f}{gain}{failure}")
    return lines


def _training(training: Training) -> Variables:
    return {
        "episode_length": _points(training.episode_length),
        "terms": [
            {"name": name, "min": figure(t.min), "mean": figure(t.mean), "max": figure(t.max),
             "share": f"{100 * t.share:.0f} %", "points": _points(t.points)}
            for name, t in training.terms.items()
        ],
    }  # fmt: skip


def _points(values: Sequence[float | None]) -> str:
    return " ".join(map(figure, values))
