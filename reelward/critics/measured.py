"""The measured critic: no language model. It puts the measure's figures into words."""

from __future__ import annotations

from collections.abc import Collection

from reelward.critics.base import Scene, View
from reelward.measures.base import Measure
from reelward.measures.descriptors import SPECS
from reelward.records import Comparison, Criteria, Critique, Judgement, ModelSettings, Row, Verdict

HEADING = 300
"""Most characters under one heading."""
NEAR = 0.2
"""Differences below this (in tolerances) are not worth a word."""


def describe(measure: Measure, expert: View, task: str, model: ModelSettings) -> Criteria:
    """The names of the figures that count."""
    rows = measure.compare(expert.motion, expert.motion).usable_rows
    return Criteria(description="", criteria=tuple(row.name for row in rows))


def critique(scene: Scene) -> Judgement:
    candidates = {}
    for name in scene.learners:
        candidates[name] = judged(scene, scene.learners[name])
        scene.advance()
    return Judgement(critic="measured", parent=judged(scene, scene.parent), candidates=candidates)


def judged(scene: Scene, learner: View) -> Critique:
    """The critique of one rollout against the parent's best."""
    compare = scene.measure.compare
    before = compare(scene.expert.motion, scene.parent.motion)
    terms = frozenset(learner.stats.term_means) if learner.stats else frozenset()
    return from_figures(compare(scene.expert.motion, learner.motion), before, scene.noise, terms)


def from_figures(
    mine: Comparison, before: Comparison, noise: float, terms: Collection[str] = ()
) -> Critique:
    """The critique that figures alone give; `terms` are those of the learner's reward. An eligible learner is
    better than one that is not; else the gain must exceed the noise between training seeds."""
    gain = mine.gain_over(before)
    verdict: Verdict
    if mine.eligible != before.eligible:
        verdict = "better" if mine.eligible else "worse"
    else:
        verdict = "better" if gain > noise else "worse" if gain < -noise else "same"
    return Critique(
        **dict(mine),
        verdict=verdict,
        measured_verdict=verdict,
        confidence=round(min(1.0, abs(gain) / (2 * noise)), 3) if noise else 1.0,
    ).model_copy(update=headings(mine, terms))


def headings(mine: Comparison, terms: Collection[str]) -> dict[str, str]:
    """The paper's four headings (arXiv 2410.09286), from figures alone."""
    words = {row.name: _words(row) for row in mine.usable_rows if _falls_short(row)}
    worst = list(words)[:3]
    missing = [name for name in worst if name in SPECS and SPECS[name].term not in terms]
    fell = mine.gates.get("survival") is False
    wrong = ["falls before the time is up"] * fell + [words[name] for name in worst]
    return {
        "wrong": _cut("; ".join(wrong) or "nothing that the descriptors show"),
        "rewrite": _cut(f"move the targets of {', '.join(worst)}" if worst else ""),
        "remove": "",
        "add": _cut(f"a term for {missing[0]}" if missing else ""),
    }


def _falls_short(row: Row) -> bool:
    """Whether a figure is worth a word: one beyond the goal of a fitness earns everything."""
    return row.off is None or (abs(row.off) >= NEAR and row.part != 1.0)


def _words(row: Row) -> str:
    if row.learner is None:
        return f"{row.name} cannot be measured on the learner"
    expert = "" if row.expert is None else f", expert {row.expert:.3g}"
    return f"{row.words} ({row.name} {row.learner:.3g}{expert})"


def _cut(text: str) -> str:
    return text if len(text) <= HEADING else text[: HEADING - 1] + "…"
