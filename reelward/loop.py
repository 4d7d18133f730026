"""One turn of the outer loop, without files: judge the candidates, choose one, say what it brought.

The stages critique and select, and the benches, call these functions.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from reelward.measures.base import Measure
from reelward.records import (
    Candidates,
    Critique,
    Feedback,
    Judgement,
    TermCurve,
    Training,
    Trial,
)

MOMENTS = 10
"""Points of a learning curve that an author is shown."""
PATIENCE = 3
"""iterations in a row without a gain before advice is given"""


def choose(judgement: Judgement, min_gain: float) -> str | None:
    """Name of the candidate that replaces the parent's best, or None.

    A candidate that fails a gate loses to any that passes. Among the others closeness decides, or
    survival while none has any closeness, and the critic must not have called the candidate worse. A contested verdict counts for nothing:
    then the measure alone must say better, by more than the noise.
    """
    parent = judgement.parent
    rank = {
        name: (c.eligible, c.closeness, c.survival)
        for name, c in judgement.candidates.items()
        if (c.measured_verdict == "better" if c.contested else c.verdict != "worse")
    }
    best = max(rank, key=lambda name: rank[name], default=None)
    if best is None:
        return None
    winner = judgement.candidates[best]
    gains = winner.gain_over(parent) > min_gain
    return best if (winner.eligible, gains) > (parent.eligible, False) else None


def feedback(
    before: Feedback,
    iteration: str,
    judgement: Judgement,
    chosen: str | None,
    candidates: Candidates,
    *,
    env_steps: int = 0,
    training: Training | None = None,
    advice: str = "",
) -> Feedback:
    """What an iteration brought.

    `before` is the parent's feedback. `candidates` are those of the index that training and rollout
    completed with errors. `env_steps` and `training` belong to the policy of `chosen`; where nothing
    was chosen, the parent's stay.
    """
    if chosen is None:
        critique = judgement.parent
        if before.critique is not None:
            critique = critique.model_copy(update=before.critique.headings)
        selected, env_steps, training = before.selected, before.env_steps, before.training
    else:
        critique, selected = judgement.candidates[chosen], f"{iteration}/{chosen}"
    return Feedback(
        iteration=iteration,
        number=before.number + 1,
        selected=selected,
        env_steps=env_steps,
        region=region(before.region, chosen is not None or before.first),
        critique=critique,
        training=training,
        advice=advice,
        refused={c.name: c.error for c in candidates.candidates if c.error},
        trials=(*before.trials, *trials(iteration, before.selected, candidates, judgement)),
    )


def advice(judgement: Judgement, measure: Measure, lived_s: Sequence[float], kept: int) -> str:
    """What to change where the loop does not advance; empty where it does.

    `lived_s` is the time before the fall of every episode of this iteration, and `kept` the number of
    iterations in a row that selected nothing.
    """
    if not judgement.candidates:
        return "no candidate was trained; their errors say why"
    closest = max(c.closeness for c in (judgement.parent, *judgement.candidates.values()))
    if closest <= 0.0 and max(lived_s, default=0.0) < measure.least_s:
        return (
            f"no learner stays up for the {measure.least_s:g} s that a measurement needs, the best falls after "
            f"{max(lived_s, default=0.0):.1f} s, so closeness is 0: raise train.env_steps"
        )
    if closest <= 0.0:
        return measure.at_zero
    if kept >= PATIENCE:
        return (
            f"{kept} iterations in a row brought no gain: raise propose.candidates or "
            "train.warm_env_steps, or try another propose.author"
        )
    return ""


def kept(before: Feedback) -> int:
    """How many iterations in a row, the next one included, select nothing if that one does not."""
    last = before.selected.partition("/")[0].rpartition("-")[2]
    return before.number + 1 - int(last) if last.isdecimal() else before.number + 2


def region(before: float, gained: bool) -> float:
    """How far the author may move next: half as far after an iteration that gained nothing."""
    return min(1.0, 1.2 * before) if gained else before / 2


def trials(
    iteration: str, parent: str, candidates: Candidates, judgement: Judgement
) -> list[Trial]:
    """The candidates that were judged: what each aimed at and what its training reached."""
    return [
        Trial(
            name=f"{iteration}/{c.name}",
            parent=parent,
            start=c.start,
            note=c.note,
            targets=c.targets | ({"period": c.period} if c.period else {}),
            weights=c.weights,
            figures={row.name: row.learner for row in critique.usable_rows},
            closeness=critique.closeness,
            eligible=critique.eligible,
            failure=critique.failure,
        )
        for c in candidates.candidates
        if (critique := judgement.candidates.get(c.name)) is not None
    ]


def training(curve: Sequence[Mapping[str, str]]) -> Training:
    """A learning curve (the lines of a policy's CSV) at a few moments, and each term's range, mean and
    share of the absolute sum of all terms."""

    def column(name: str) -> list[float]:
        return [float(line[name]) for line in curve]

    def at_moments(values: list[float]) -> tuple[float | None, ...]:
        last, count = len(values) - 1, min(MOMENTS, len(values))
        points = [values[round(last * (i + 1) / count)] for i in range(count)]
        return tuple(v if math.isfinite(v) else None for v in points)

    terms = {n.removeprefix("term/"): column(n) for n in curve[0] if n.startswith("term/")}
    moved = {name: sum(map(abs, values)) for name, values in terms.items()}
    total = sum(moved.values()) or 1.0
    return Training(
        env_steps=at_moments(column("env_steps")),
        returns=at_moments(column("return")),
        episode_length=at_moments(column("episode_length")),
        terms={
            name: TermCurve(
                min=min(values),
                mean=float(f"{sum(values) / len(values):.6g}"),
                max=max(values),
                share=round(moved[name] / total, 4),
                points=at_moments(values),
            )
            for name, values in terms.items()
        },
    )


def history(before: str, now: Feedback, candidate: str, figures: Iterable[str]) -> str:
    """history.csv with the line of an iteration. `candidate` is the chosen one, or `kept` or
    `failed` where none was; `figures` names the measure's columns. The seed's has no line and one
    column, for DVC warns of an empty file."""
    critique = now.critique
    assert critique is not None
    line = {
        "iteration": now.iteration,
        "candidate": candidate,
        "closeness": critique.closeness,
        "survival": critique.survival,
        "verdict": critique.verdict,
        "env_steps": now.env_steps,
    } | {name: _cell(critique, name) for name in figures}
    text = io.StringIO()
    rows = csv.DictWriter(text, list(line), lineterminator="\n")
    begun = before.count("\n") > 1
    if not begun:
        rows.writeheader()
    rows.writerow(line)
    return before + text.getvalue() if begun else text.getvalue()


def _cell(critique: Critique, name: str) -> float | str:
    value = critique.figure(name)
    return "" if value is None else value
