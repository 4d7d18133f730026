"""Judging, choosing and feedback: one turn of the loop on comparisons made by hand."""

from __future__ import annotations

import csv

import pytest
from conftest import ROOT

from reelward import loop, measures
from reelward.critics import measured
from reelward.critics.base import weighed
from reelward.records import (
    Candidates,
    CheckedCandidate,
    Comparison,
    Critique,
    Feedback,
    Judgement,
    Row,
)

NOISE = 0.03


def comparison(closeness: float, *, gates: bool = True, **offs: float | None) -> Comparison:
    """A learner whose figures are `off` their expert's 1.0 by so many tolerances of 0.5."""
    rows = tuple(
        Row(
            name=name, unit="m", expert=1.0, learner=None if off is None else 1.0 + 0.5 * off,
            off=off, tolerance=0.5, weight=1.0, part=0.0 if off is None else max(0.0, 1 - abs(off)),
            words="too far" if (off or 0) > 0 else "too near",
        )
        for name, off in offs.items()
    )  # fmt: skip
    return Comparison(
        closeness=closeness, survival=1.0, gates={"survival": gates},
        failure="none" if gates else "fall", rows=rows,
    )  # fmt: skip


def judgement(parent: Comparison, **candidates: Comparison) -> Judgement:
    return Judgement(
        critic="measured",
        parent=measured.from_figures(parent, parent, NOISE),
        candidates={n: measured.from_figures(c, parent, NOISE) for n, c in candidates.items()},
    )


def index(*names: str, **errors: str) -> Candidates:
    return Candidates(candidates=tuple(
        CheckedCandidate(
            name=name, start="warm", number=i, note=f"note of {name}", file=f"{name}.py",
            error=errors.get(name), period=1.2, targets={"speed": 1.0}, weights={"speed": 2.0},
        )
        for i, name in enumerate(names)
    ))  # fmt: skip


# --- the measured verdict -----------------------------------------------------------------------


def test_the_headings_name_the_worst_differences_first() -> None:
    learner = comparison(0.5, step=0.3, speed=-0.8, knee=0.1, lag=None)
    critique = measured.from_figures(learner, comparison(0.2), NOISE)
    assert critique.wrong == (
        "lag cannot be measured on the learner; too near (speed 0.6, expert 1); "
        "too far (step 1.15, expert 1)"
    )
    assert critique.rewrite == "move the targets of lag, speed, step"
    assert [row.name for row in critique.usable_rows] == ["lag", "speed", "step", "knee"]


@pytest.mark.parametrize(
    ("closeness", "verdict", "confidence"),
    [
        (0.52, "same", 0.333),
        (0.531, "better", 0.517),
        (0.469, "worse", 0.517),
        (0.6, "better", 1.0),
    ],
)
def test_a_gain_must_exceed_the_noise(closeness: float, verdict: str, confidence: float) -> None:
    critique = measured.from_figures(comparison(closeness), comparison(0.5), NOISE)
    assert critique.verdict == critique.measured_verdict == verdict
    assert critique.confidence == pytest.approx(confidence, abs=1e-3)


def test_an_eligible_learner_is_better_than_one_that_fails_a_gate() -> None:
    walks, falls = comparison(0.2), comparison(0.9, gates=False)
    assert measured.from_figures(walks, falls, NOISE).verdict == "better"
    assert measured.from_figures(falls, walks, NOISE).verdict == "worse"


def test_while_none_has_closeness_the_later_fall_is_better() -> None:
    soon, late = comparison(0.0, gates=False), comparison(0.0, gates=False)
    late = late.model_copy(update={"survival": 0.4})
    soon = soon.model_copy(update={"survival": 0.1})
    assert measured.from_figures(late, soon, NOISE).verdict == "better"
    assert loop.choose(judgement(soon, c0=soon, c1=late), 0.0) == "c1"
    assert loop.choose(judgement(late, c0=soon), 0.0) is None
    assert loop.choose(judgement(comparison(0.01), c0=late), 0.0) is None


def test_only_a_term_that_the_reward_lacks_is_suggested() -> None:
    learner = comparison(0.5, speed=-0.8, step=0.3)
    assert measured.from_figures(learner, comparison(0.2), NOISE).add == "a term for speed"
    has = measured.from_figures(learner, comparison(0.2), NOISE, {"speed"})
    assert has.add == "a term for step"
    assert measured.from_figures(learner, comparison(0.2), NOISE, {"speed", "step"}).add == ""


# --- advice where nothing is gained -------------------------------------------------------------


def test_advice_names_what_holds_the_loop_up() -> None:
    fallen = judgement(comparison(0.0, gates=False), c0=comparison(0.0, gates=False))
    gait = measures.load("gait")
    assert loop.advice(fallen, gait, [0.8, 1.2], kept=1) == (
        "no learner stays up for the 5.5 s that a measurement needs, the best falls after 1.2 s, so "
        "closeness is 0: raise train.env_steps"
    )
    assert "further off than its tolerance" in loop.advice(fallen, gait, [8.0], kept=1)
    assert "errors say why" in loop.advice(judgement(comparison(0.4)), gait, [], kept=1)
    climbs = judgement(comparison(0.4), c0=comparison(0.5))
    assert loop.advice(climbs, gait, [8.0], kept=2) == ""
    assert "3 iterations in a row brought no gain" in loop.advice(climbs, gait, [8.0], kept=3)


@pytest.mark.parametrize(
    ("goal", "worst", "side"), [(2.0, 0.0, "above"), (0.0, 3.5, "below"), (-1.0, -8.0, "above")]
)
def test_advice_for_a_fitness_of_zero_names_its_worst(goal: float, worst: float, side: str) -> None:
    still = judgement(comparison(0.0), c0=comparison(0.0))
    fitness = measures.load("fitness", "root_vel[0]", goal, worst)
    assert loop.advice(still, fitness, [0.1], kept=1) == (
        f"no learner's mean of root_vel[0] is {side} measure.worst = {worst:g}, so closeness is 0: raise "
        "train.env_steps, try a reward that pays for root_vel[0], or change measure.worst"
    )


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        (Feedback(), 1),
        (Feedback(number=0, selected="iter-00/c1"), 1),
        (Feedback(number=4, selected="iter-02/c1"), 3),
        (Feedback(number=1, selected=""), 3),
    ],
)
def test_iterations_without_a_gain_are_counted(before: Feedback, kept: int) -> None:
    assert loop.kept(before) == kept


# --- the choice ---------------------------------------------------------------------------------


def test_the_closest_eligible_candidate_is_chosen() -> None:
    hop = comparison(0.9, gates=False)
    assert loop.choose(judgement(comparison(0.1), c0=hop, c1=comparison(0.6)), 0.0) == "c1"
    assert loop.choose(judgement(hop, c0=comparison(0.3)), 0.0) == "c0"


def test_the_parent_stays_where_no_candidate_beats_it() -> None:
    best = comparison(0.8)
    assert loop.choose(judgement(best, c0=comparison(0.7), c1=comparison(0.2)), 0.0) is None
    assert loop.choose(judgement(best), 0.0) is None


def test_the_least_gain_is_a_bar() -> None:
    turn = judgement(comparison(0.5), c0=comparison(0.6))
    assert loop.choose(turn, 0.05) == "c0"
    assert loop.choose(turn, 0.2) is None


def test_a_contested_verdict_leaves_the_choice_to_the_measure() -> None:
    parent = comparison(0.5)
    clear = measured.from_figures(comparison(0.6), parent, NOISE)
    within = measured.from_figures(comparison(0.52), parent, NOISE)

    def chosen(critique: Critique) -> str | None:
        turn = judgement(parent)
        return loop.choose(turn.model_copy(update={"candidates": {"c0": critique}}), 0.0)

    assert chosen(weighed(clear, {}, ["worse"])) == "c0"  # the measure contradicts
    assert chosen(weighed(within, {}, ["worse"])) is None  # no clear measure: the critic bars it
    assert chosen(weighed(within, {}, ["better", "worse"])) is None  # contradicts itself
    assert chosen(weighed(within, {}, ["better"])) == "c0"


def test_a_measured_fall_stays_a_fall() -> None:
    falls = measured.from_figures(comparison(0.1, gates=False), comparison(0.5), NOISE)
    assert weighed(falls, {"failure": "shuffle"}, ["worse"]).failure == "fall"


# --- feedback and history -----------------------------------------------------------------------


def test_feedback_of_a_chosen_candidate() -> None:
    turn = judgement(comparison(0.1), c0=comparison(0.4, speed=-0.5), c1=comparison(0.3))
    now = loop.feedback(
        Feedback(), "iter-00", turn, "c0", index("c0", "c1", "c2", c2="NaN"), env_steps=600
    )
    assert (now.number, now.selected, now.env_steps, now.region) == (0, "iter-00/c0", 600, 1.0)
    assert now.critique == turn.candidates["c0"] and now.refused == {"c2": "NaN"}
    first, second = now.trials
    assert first.name == "iter-00/c0" and first.parent == "" and first.closeness == 0.4
    assert first.targets == {"speed": 1.0, "period": 1.2} and first.figures == {"speed": 0.75}
    assert second.name == "iter-00/c1"


def test_feedback_keeps_the_parents_words_where_nothing_was_chosen() -> None:
    turn = judgement(comparison(0.1), c0=comparison(0.4))
    first = loop.feedback(Feedback(), "iter-00", turn, "c0", index("c0"), env_steps=600)
    words = turn.candidates["c0"].model_copy(update={"wrong": "drags the left foot"})
    first = first.model_copy(update={"critique": words})
    kept = judgement(comparison(0.4), c0=comparison(0.2))
    now = loop.feedback(first, "iter-01", kept, None, index("c0"))
    assert (now.number, now.selected, now.env_steps) == (1, "iter-00/c0", 600)
    assert now.region == 0.5 and now.critique is not None
    assert now.critique.wrong == "drags the left foot" and now.critique.closeness == 0.4
    assert [t.name for t in now.trials] == ["iter-00/c0", "iter-01/c0"]
    assert now.trials[1].parent == "iter-00/c0"
    assert Feedback.model_validate_json(now.model_dump_json()) == now


def test_the_region_grows_after_a_gain_up_to_the_whole() -> None:
    assert loop.region(0.5, True) == pytest.approx(0.6)
    assert loop.region(1.0, True) == 1.0 and loop.region(0.5, False) == 0.25


def test_the_history_grows_by_a_line_with_a_column_for_every_figure() -> None:
    turn = judgement(comparison(0.1), c0=comparison(0.4, speed=-0.5, knee=None))
    now = loop.feedback(Feedback(), "iter-00", turn, "c0", index("c0"), env_steps=600)
    seed = (ROOT / "rewards/seed/history.csv").read_text()
    once = loop.history(seed, now, "c0", ("speed", "knee"))
    assert seed and once == loop.history("", now, "c0", ("speed", "knee"))
    twice = loop.history(once, now, "kept", ("speed", "knee"))
    rows = list(csv.DictReader(twice.splitlines()))
    ours = ["iteration", "candidate", "closeness", "survival", "verdict", "env_steps"]
    assert list(rows[0]) == [*ours, "speed", "knee"]
    assert rows[0] == {
        "iteration": "iter-00", "candidate": "c0", "closeness": "0.4", "survival": "1.0",
        "verdict": "better", "env_steps": "600", "speed": "0.75", "knee": "",
    }  # fmt: skip
    assert rows[1]["candidate"] == "kept" and len(rows) == 2


def test_a_learning_curve_at_ten_moments() -> None:
    curve = [
        {"env_steps": str(i), "return": "nan" if i == 1 else str(2 * i), "episode_length": "5",
         "term/a": "1", "term/b": "-3"}
        for i in range(1, 21)
    ]  # fmt: skip
    training = loop.training(curve)
    assert training.env_steps == (3, 5, 7, 9, 11, 12, 14, 16, 18, 20)  # by hand: round(19 i / 10)
    assert training.terms["a"].share == 0.25 and training.terms["b"].min == -3
    assert loop.training(curve[:1]).returns == (None,)


def test_a_candidate_keeps_the_error_that_came_first() -> None:
    (refused,) = index("c0", c0="no such field").candidates
    assert refused.failed("killed").error == refused.failed(None).error == "no such field"
    (sound,) = index("c0").candidates
    assert sound.failed("killed").error == "killed" and sound.failed(None).error is None
