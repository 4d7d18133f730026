"""The measure `fitness`, by hand, and what all measures share."""

from types import SimpleNamespace

import numpy as np
import pytest

from reelward import measures
from reelward.critics.measured import headings
from reelward.measures.base import Episodes
from reelward.measures.descriptors import UNITS
from reelward.measures.reference import NO_EXPERT
from reelward.runtime.errors import InputError

HOPPER = SimpleNamespace(name="hopper", keypoints={"hip": 0}, feet={}, leg_length_m=1.0)


def episodes(lived: list[int], **recorded: object) -> Episodes:
    """Two episodes of four steps."""
    points = np.zeros((4, 2, 1, 3))
    arrays = {name: np.array(values, np.float32) for name, values in recorded.items()}
    return Episodes(points[..., 0], points, np.array(lived), {}, 0.5, recorded=arrays)


REWARDS = [[1.0, 4.0], [2.0, 8.0], [3.0, 100.0], [4.0, 100.0]]


def test_fitness_is_the_mean_over_the_episode():
    measure = measures.load("fitness", "task_reward", 8.0)
    assert measure.fields == ("task_reward",) and list(measure.figures) == ["task_reward"]
    motion = measure.of(HOPPER, episodes([4, 2], task_reward=REWARDS))
    # By hand: (1 + 2 + 3 + 4) / 4 = 2.5 and, after a fall in the third step, (4 + 8) / 4 = 3.
    assert motion.descriptors["task_reward"].value == pytest.approx(2.75)
    assert motion.descriptors["task_reward"].uncertainty == pytest.approx(0.25)
    assert motion.survival == 0.75 and motion.seconds == 2.0
    comparison = measure.compare(NO_EXPERT, motion)
    assert comparison.closeness == pytest.approx(2.75 / 8, abs=1e-6)
    assert comparison.eligible and comparison.gates == {} and comparison.failure == "none"
    (row,) = comparison.usable_rows
    assert (row.name, row.expert, row.tolerance) == ("task_reward", None, 8.0)
    assert row.off == pytest.approx(2.75 / 8 - 1, abs=1e-4) and row.words == "below the goal 8"


@pytest.mark.parametrize(("value", "closeness"), [(-1.0, 0.0), (0.5, 0.25), (2.0, 1.0), (9.0, 1.0)])
def test_a_column_of_a_field_counts_up_to_its_goal(value: float, closeness: float):
    measure = measures.load("fitness", "root_vel[1]", 2.0)
    assert measure.fields == ("root_vel",)
    velocity = np.full((4, 2, 3), 50.0)
    velocity[..., 1] = value
    motion = measure.of(HOPPER, episodes([4, 4], root_vel=velocity))
    assert measure.compare(NO_EXPERT, motion).closeness == pytest.approx(closeness)


@pytest.mark.parametrize(
    ("worst", "goal", "value", "closeness", "words"),
    [
        (-16.0, 0.0, -4.0, 0.75, "below the goal 0"),  # (-4 + 16) / 16
        (-16.0, 0.0, -20.0, 0.0, "below the goal 0"),
        (10.0, 2.0, 4.0, 0.75, "above the goal 2"),  # less is better: (10 - 4) / (10 - 2)
        (0.0, -2.0, -3.0, 1.0, "reaches the goal -2"),
    ],
)
def test_closeness_is_the_way_from_worst_to_goal(
    worst: float, goal: float, value: float, closeness: float, words: str
):
    measure = measures.load("fitness", "task_reward", goal, worst)
    motion = measure.of(HOPPER, episodes([4, 4], task_reward=np.full((4, 2), value)))
    comparison = measure.compare(NO_EXPERT, motion)
    assert comparison.closeness == pytest.approx(closeness)
    (row,) = comparison.rows
    assert row.words == words and row.tolerance == abs(goal - worst)
    # By hand: a step of the value and three after the fall, each as bad as the worst.
    fallen = measure.of(HOPPER, episodes([1, 1], task_reward=np.full((4, 2), value)))
    assert fallen.descriptors["task_reward"].value == pytest.approx((value + 3 * worst) / 4)


def test_only_a_fitness_below_its_goal_is_called_wrong():
    measure = measures.load("fitness", "task_reward", 2.0)

    def wrong(mean: float) -> str:
        motion = measure.of(HOPPER, episodes([4, 4], task_reward=np.full((4, 2), mean)))
        return headings(measure.compare(NO_EXPERT, motion), ())["wrong"]

    assert wrong(1.0) == "below the goal 2 (task_reward 1)"
    assert wrong(2.0) == wrong(3.0) == "nothing that the descriptors show"


def test_a_motion_without_the_field_has_no_fitness():
    comparison = measures.load("fitness", "task_reward", 8.0).compare(NO_EXPERT, NO_EXPERT)
    assert comparison.closeness == 0.0
    assert [row.name for row in comparison.usable_rows] == ["task_reward"]


@pytest.mark.parametrize(
    ("field", "goal", "message"),
    [
        ("task_reward", None, "expected measure.field and measure.goal"),
        ("root vel", 1.0, "measure.field: expected"),
        ("task_reward", 0.0, "measure.goal: expected a number other than measure.worst = 0, got 0"),
        ("task_reward", float("inf"), "measure.goal: expected a number other than"),
    ],
)
def test_settings_that_do_not_fit_are_named(field: str, goal: float | None, message: str):
    with pytest.raises(InputError, match=message):
        measures.load("fitness", field, goal)


@pytest.mark.parametrize("field", ["root_vel", "root_vel[3]", "task_reward[0]"])
def test_a_column_that_is_not_there_is_named(field: str):
    measure = measures.load("fitness", field, 1.0)
    seen = episodes([4, 4], root_vel=np.zeros((4, 2, 3)), task_reward=REWARDS)
    with pytest.raises(InputError, match="measure.field: .* of hopper has"):
        measure.of(HOPPER, seen)


def test_without_an_expert_a_gait_is_compared_with_nothing():
    gait = measures.load("gait")
    comparison = gait.compare(NO_EXPERT, NO_EXPERT)
    assert (
        comparison.closeness == 0.0
        and comparison.usable_rows == ()
        and comparison.gates == {"survival": True}
    )
    assert [row.name for row in comparison.rows] == list(gait.figures) == list(UNITS)
    assert {row.why for row in comparison.rows} == {"there is no video"}
