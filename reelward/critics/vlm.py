"""The critic that looks: a vision-language model compares contact sheets (arXiv 2410.09286).

It fixes its criteria before it sees a robot. Then it is asked of every candidate twice, against the
parent's best, with the two robots in either order: a verdict that depends on the order is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reelward.critics import measured
from reelward.critics.view import HEADINGS, View, weighed
from reelward.measures.descriptors import UNITS
from reelward.models.chat import Chat, NoAnswer, form
from reelward.models.prompts import render
from reelward.models.schemas import Critique, Described


def describe(chat: Chat, expert: View, task: str) -> dict[str, Any]:
    """The expert's motion in words, and the criteria. Raises NoAnswer."""
    figures = [
        {"name": name, "value": f"{row['expert']:.3g}", "unit": UNITS[name]}
        for name, row in measured.differences(expert.motion, expert.motion).items()
    ]
    prompt = render("describe", task=task, figures=figures, form=form(Described))
    sheets = [expert.sheet] if expert.sheet else []
    return chat.ask(Described, [chat.user(prompt, sheets)]).model_dump()


def critique(
    chat: Chat, expert: View, learner: View, parent: View,
    *, criteria: Sequence[str], task: str, noise: float,
) -> dict[str, Any]:  # fmt: skip
    """The critique of one candidate. An answer that cannot be had leaves it to the measure."""
    numbers = measured.critique(expert.motion, learner.motion, parent.motion, noise)
    said: dict[str, Any] = {}
    verdicts: list[str] = []
    try:
        for judged, other in ("AB", "BA"):
            robots = dict(sorted({judged: learner, other: parent}.items()))
            asked = _prompt(expert, robots, judged, criteria, task)
            sheets = [v.sheet for v in (expert, *robots.values()) if v.sheet]
            answer = chat.ask(Critique, [chat.user(asked, sheets)])
            verdicts.append({judged: "better", other: "worse"}.get(answer.closer, answer.closer))
            said = said or answer.model_dump(include={*HEADINGS, "failure", "confidence"})
    except NoAnswer as e:
        return weighed(numbers, said, verdicts or ["cannot_tell"], f"no answer: {e}")
    return weighed(numbers, said, verdicts)


def _prompt(
    expert: View, robots: dict[str, View], judged: str, criteria: Sequence[str], task: str
) -> str:
    pictures = ["the expert"] if expert.sheet else []
    pictures += [f"robot {letter}" for letter, robot in robots.items() if robot.sheet]
    rows = {k: measured.differences(expert.motion, robot.motion) for k, robot in robots.items()}
    figures = []
    for name in rows[judged]:
        row = {"name": f"{name} ({UNITS[name]})", "expert": _figure(rows["A"][name]["expert"])}
        for letter, found in rows.items():
            row[letter] = _figure(found[name]["learner"])
            row[f"{letter}_off"] = _figure(found[name]["off"])
        figures.append(row)
    return render(
        "critique", task=task, judged=judged, pictures=pictures, criteria=criteria,
        figures=figures, lived={letter: _lived(robot) for letter, robot in robots.items()},
        terms=", ".join(robots[judged].stats.get("term_means", {})) or "none",
        form=form(Critique),
    )  # fmt: skip


def _lived(robot: View) -> str:
    """How long its episodes went well: a fall at once is told in numbers, there may be no picture."""
    lived, seconds = robot.stats["lived_s"], robot.stats["seconds"]
    falls = [f"{s:.2g} s" for s in lived if s < seconds]
    if not falls:
        return f"stays up for all of the {seconds:g} s"
    return (
        f"falls after {', '.join(falls)} of {seconds:g} s in {len(falls)} of {len(lived)} episodes"
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
