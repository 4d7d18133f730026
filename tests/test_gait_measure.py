"""The measure `gait`: closeness, gates and failures of motions made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from motions import EXPERT, STANDS, motion

from reelward.measures.gait import compare


@pytest.mark.parametrize(
    ("learner", "failure"),
    [
        (motion(0.3), "fall"),
        (motion(airborne=0.4), "hop"),
        (motion(speed=0.02), "wrong_speed"),
        (motion(lag=0.1), "no_alternation"),
        (motion(0.95, speed=0.30, knee=75.0), "none"),
    ],
)
def test_a_closed_gate_names_the_failure(learner, failure):
    comparison = compare(EXPERT, learner)
    assert comparison.failure == failure and comparison.eligible is (failure == "none")


def test_a_fall_is_worse_than_any_walk():
    walks = compare(EXPERT, motion(speed=0.3, step=0.5)).closeness
    assert compare(EXPERT, replace(motion(0.2), survival=0.2)).closeness < walks


def test_each_row_counts_by_its_weight():
    """By hand: speed is half of its tolerance off (weight 2), all else of weight 9 is as the expert."""
    comparison = compare(EXPERT, motion(speed=0.43 * 0.8))
    speed = next(row for row in comparison.rows if row.name == "speed")
    assert speed.off == pytest.approx(-0.5) and speed.part == pytest.approx(0.5)
    assert speed.words == "too slow" and speed.tolerance == pytest.approx(0.4 * 0.43)
    weight = sum(row.weight for row in comparison.usable_rows)
    assert weight == 11.0 and comparison.closeness == pytest.approx(1 - 2 * 0.5 / 11, abs=1e-6)


def test_what_the_learner_does_not_show_earns_nothing():
    row = next(r for r in compare(EXPERT, STANDS).rows if r.name == "knee")
    assert row.learner is None and row.off is None and row.part == 0.0


def test_what_the_expert_does_not_show_is_given_with_its_reason():
    row = next(r for r in compare(EXPERT, motion()).rows if r.name == "lean")
    assert not row.usable and row.why
