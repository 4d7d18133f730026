"""The critic that is a vision-language model: it compares contact sheets (arXiv 2410.09286).

It writes its criteria before it sees a robot. Then it compares every candidate with the parent's
best, twice, with the two robots in both orders. A verdict that depends on the order does not count.
"""

from __future__ import annotations

from reelward.critics.base import Scene, View, weighed
from reelward.critics.measured import judged
from reelward.measures.base import Measure
from reelward.models.chat import Chat, NoAnswer, form
from reelward.models.prompts import figure, render
from reelward.models.schemas import CritiqueAnswer, DescriptionAnswer
from reelward.models.server import ready
from reelward.records import HEADINGS, Criteria, Critique, Judgement, ModelSettings, Verdict
from reelward.runtime.errors import InputError


def describe(measure: Measure, expert: View, task: str, model: ModelSettings) -> Criteria:
    """The expert's motion in words, and the criteria. Raises InputError if the model gives none."""
    chat = Chat("critic", model)
    ready("critic")
    figures = [
        {"name": row.name, "value": figure(row.expert), "unit": row.unit}
        for row in measure.compare(expert.motion, expert.motion).usable_rows
    ]
    prompt = render("describe", task=task, figures=figures, form=form(DescriptionAnswer))
    sheets = [expert.sheet] if expert.sheet else []
    try:
        answer = chat.ask(DescriptionAnswer, [chat.user(prompt, sheets)])
    except NoAnswer as e:
        raise InputError(
            f"{model.name} did not describe the expert: {e}; run the same command to ask again, or "
            "name another model in critique.model"
        ) from None
    return Criteria(
        description=answer.description, criteria=tuple(answer.criteria), model_calls=chat.record()
    )


def critique(scene: Scene) -> Judgement:
    chat = Chat("critic", scene.model)
    ready("critic")
    candidates = {}
    for name, learner in scene.learners.items():
        candidates[name] = _judged(chat, scene, learner)
        scene.advance()
    return Judgement(
        critic="vlm",
        parent=judged(scene, scene.parent),
        candidates=candidates,
        model_calls=chat.record(),
    )


def _judged(chat: Chat, scene: Scene, learner: View) -> Critique:
    """The critique of one candidate. Without an answer of the model, the measure stands alone."""
    figures = judged(scene, learner)
    words: dict[str, str | float] = {}
    verdicts: list[Verdict] = []
    try:
        for letter, other in ("AB", "BA"):
            robots = dict(sorted({letter: learner, other: scene.parent}.items()))
            sheets = [v.sheet for v in (scene.expert, *robots.values()) if v.sheet]
            message = chat.user(_prompt(scene, robots, letter), sheets)
            answer = chat.ask(CritiqueAnswer, [message])
            verdicts.append(_verdict(answer.closer, letter))
            words = words or answer.model_dump(include={*HEADINGS, "failure", "confidence"})
    except NoAnswer as e:
        return weighed(figures, words, verdicts or ["cannot_tell"], f"no answer: {e}")
    return weighed(figures, words, verdicts)


def _verdict(closer: str, judged: str) -> Verdict:
    if closer in ("A", "B"):
        return "better" if closer == judged else "worse"
    return "same" if closer == "same" else "cannot_tell"


def _prompt(scene: Scene, robots: dict[str, View], judged: str) -> str:
    pictures = ["the expert"] if scene.expert.sheet else []
    pictures += [f"robot {letter}" for letter, robot in robots.items() if robot.sheet]
    compared = {
        letter: scene.measure.compare(scene.expert.motion, robot.motion)
        for letter, robot in robots.items()
    }
    rows = {letter: {r.name: r for r in c.usable_rows} for letter, c in compared.items()}
    figures = []
    for row in rows[judged].values():
        line = {"name": f"{row.name} ({row.unit})", "expert": figure(row.expert)}
        for letter in robots:
            line[letter] = figure(rows[letter][row.name].learner)
            line[f"{letter}_off"] = figure(rows[letter][row.name].off)
        figures.append(line)
    stats = robots[judged].stats
    return render(
        "critique", task=scene.task, judged=judged, pictures=pictures,
        criteria=scene.criteria.criteria, figures=figures,
        lived={letter: _lived(robot) for letter, robot in robots.items()},
        terms=", ".join(stats.term_means if stats else ()) or "none", form=form(CritiqueAnswer),
    )  # fmt: skip


def _lived(robot: View) -> str:
    """How long the robot stays up, in words: after an early fall there may be no picture."""
    assert robot.stats is not None, "only the expert has no episodes"
    seconds, episodes = robot.stats.seconds, robot.stats.lived_s
    falls = [f"{s:.2g} s" for s in episodes if s < seconds]
    if not falls:
        return f"stays up for all of the {seconds:g} s"
    return f"falls after {', '.join(falls)} of {seconds:g} s in {len(falls)} of {len(episodes)} episodes"
