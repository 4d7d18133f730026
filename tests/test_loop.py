"""The measured critic and author, and the selection, on motions whose figures are made by hand."""

import math
from dataclasses import replace

import pytest
import torch

from reelward.authors import draft
from reelward.authors import measured as author
from reelward.critics import measured as critic
from reelward.language import compile_reward
from reelward.measures.descriptors import UNITS
from reelward.measures.gait import alternate, compare, phase_lag
from reelward.motion.course import Course
from reelward.motion.record import Descriptor, Motion
from reelward.sim.robot import load_robot
from stages import select

BIPED = load_robot("biped")
WALK = {
    "speed": 0.43, "cadence": 0.245, "step": 0.8, "bob": 0.07, "knee": 57.0, "thigh": 50.0,
    "duty": 0.6, "airborne": 0.0, "lag": 0.5,
}  # fmt: skip


HIP = (0.0, 0.0, 0.0, -0.035, *[0.0] * 3)
LEG = Course(0.0, 0.6, (10.0, 25.0, *[0.0] * 5), (30.0, -20.0, *[0.0] * 5), HIP)


def motion(survival: float = 1.0, **figures: float | None) -> Motion:
    """A motion with the walk's figures, some replaced; lean and sway are not usable. One leg is seen."""
    values = WALK | figures
    descriptors = {
        name: Descriptor(values.get(name), unit, 0.01, values.get(name) is not None)
        for name, unit in UNITS.items()
    }
    return Motion(
        "robot:biped", 50.0, 7.5, 1.0, 1.01, None, descriptors, tuple(BIPED.keypoints),
        courses={"right": LEG}, survival=survival,
    )  # fmt: skip


EXPERT = motion()
STANDS = motion(0.04, **{name: None for name in WALK})


def test_targets_are_the_experts_at_the_robots_size():
    targets, assumed = draft.expert_targets(EXPERT, BIPED)
    # By hand for a leg of 1.01 m: v = 0.43 sqrt(9.81 * 1.01), T = sqrt(1.01 / 9.81) / 0.245.
    assert targets["speed"] == pytest.approx(0.43 * math.sqrt(9.81 * 1.01))
    assert targets["period"] == pytest.approx(math.sqrt(1.01 / 9.81) / 0.245)
    assert targets["step"] == pytest.approx(0.808)
    assert targets["knee"] == pytest.approx(math.radians(57))
    assert assumed == ("lean",)


def test_what_the_video_does_not_show_is_said_in_the_reward():
    unseen = author.propose(
        BIPED, motion(duty=None), None, {}, task="walk", count=2
    )[1]  # fmt: skip
    assert '"duty": 0.6,' in unseen.source
    flies = draft.begin(motion(duty=None, airborne=0.7), BIPED)[0]
    assert flies.targets["duty"] == pytest.approx(0.3)  # no foot stands for longer than any does
    line = next(x for x in unseen.source.splitlines() if '"duty"' in x)
    assert "assumed, the video does not show it" in line


def test_a_video_without_a_rhythm_asks_for_none():
    goal, again = author.propose(BIPED, motion(cadence=None), None, {}, task="walk", count=2)
    reward = compile_reward(again.source, BIPED.fields)
    assert reward.period is None and "clock" not in reward.terms
    assert again.note == "the goal alone, another seed" and goal.seed != again.seed


def test_iteration_0_is_the_goal_and_the_goal_with_a_clock():
    goal, clock, again = author.propose(BIPED, EXPERT, None, {}, task="walk", count=3)
    terms = [compile_reward(c.source, BIPED.fields).terms for c in (goal, clock, again)]
    assert terms[0] == ("alive", "speed", "upright", "smooth", "energy")
    assert terms[1] == terms[2] == ("alive", "speed", "upright", "clock", "smooth", "energy")
    assert {goal.start, clock.start, again.start} == {"scratch"}
    assert clock.source == again.source and clock.seed != again.seed


def test_backwards_the_leg_that_lands_is_behind():
    base, _ = draft.begin(motion(speed=-0.25), BIPED)
    assert base.targets["speed"] == pytest.approx(-0.25 * math.sqrt(9.81 * 1.01))
    walk = replace(base, weights=draft.GOAL | dict.fromkeys(draft.shapes(BIPED, base), 1.0))
    text = draft.source(walk, BIPED, "Walk.")
    assert 'step(s, -TARGET["step"]' in text
    assert compile_reward(text, BIPED.fields).constants["TARGET"]["step"] > 0
    assert draft.read(compile_reward(text, BIPED.fields), base).weights == walk.weights


def written(expert: Motion, robot, *terms: str):
    """The reward of some terms at the expert's own figures."""
    asked = replace(draft.begin(expert, robot)[0], weights=dict.fromkeys(terms, 1.0))
    return compile_reward(draft.source(asked, robot, "Move."), robot.fields)


def test_legs_that_do_not_alternate_share_one_clock():
    state = {"phase": torch.tensor([0.3, 0.8]), "foot_contact": torch.ones(2, 2)}
    hop = written(motion(lag=0.03), BIPED, "clock")(state)["clock"]
    walk = written(EXPERT, BIPED, "clock")(state)["clock"]
    assert hop[0] > 0.9 and hop[1] < 0.1
    assert walk.tolist() == pytest.approx([0.5, 0.5], abs=0.05)  # one foot of two is in time


@pytest.mark.parametrize(
    ("lag", "expected"), [(0.48, True), (0.3, False), (0.0, False), (None, True)]
)
def test_legs_alternate_unless_the_video_shows_otherwise(lag: float | None, expected: bool):
    assert alternate(motion(lag=lag)) is expected


@pytest.mark.parametrize(("duty", "airborne", "expected"), [
    (0.3, 0.7, 0.0),  # a leap: both stand, both fly
    (0.3, 0.6, 0.1),  # a skip: the second lands a tenth of a cycle later
    (0.3, 0.4, None),  # a run: no two feet stand at once, whatever the lag
    (0.7, 0.0, None),  # a walk: one foot always stands
    (None, 0.4, None),
])  # fmt: skip
def test_standing_tells_how_far_apart_legs_land_that_hardly_swing(duty, airborne, expected):
    leaps = motion(lag=None, duty=duty, airborne=airborne)
    assert phase_lag(leaps) == (expected if expected is None else pytest.approx(expected))
    hops = replace(leaps, keypoints=tuple(load_robot("hopper").keypoints))
    assert phase_lag(hops) is None and alternate(hops)
    clock = author.propose(BIPED, leaps, None, {}, task="leap", count=2)[1].source
    assert ("together=True" in clock) is (expected in (0.0, 0.1)) is ("step(s" in clock)


def feedback(asked: draft.Draft, reached: Motion, **more) -> dict:
    learner = {n: d.value for n, d in reached.descriptors.items()}
    trial = {
        "name": "iter-00/c1", "parent": "", "targets": asked.targets, "weights": asked.weights,
        "descriptors": learner,
    }  # fmt: skip
    return {
        "iteration_number": 0, "selected": "iter-00/c1", "descriptors": learner,
        "trials": [trial], "region": 1.0,
    } | more  # fmt: skip


def propose(reached: Motion, weights: dict | None = None, count: int = 3, **more):
    base, _ = draft.begin(EXPERT, BIPED)
    asked = replace(base, weights=weights or (draft.GOAL | {"clock": 1.0}))
    parent = compile_reward(draft.source(asked, BIPED, "Walk."), BIPED.fields)
    made = author.propose(
        BIPED, EXPERT, parent, feedback(asked, reached, **more), task="walk", count=count
    )
    rewards = [compile_reward(c.source, BIPED.fields) for c in made]
    return asked, made, rewards


def test_aiming_goes_beyond_by_what_is_missing():
    asked, made, rewards = propose(motion(speed=0.387))
    # 0.043 too slow is a quarter of the tolerance 0.172; 0.8 of it over slope 1, in m/s.
    moved = 0.8 * 0.043 * math.sqrt(9.81 * 1.01)
    aimed = rewards[0].constants["TARGET"]["speed"]
    assert aimed == pytest.approx(asked.targets["speed"] + moved, abs=0.002)
    assert made[0].start == "warm" and "speed" in made[0].note


def test_a_learner_that_does_not_follow_the_clock_is_given_no_other():
    period = draft.expert_targets(EXPERT, BIPED)[0]["period"]
    cadence = EXPERT.descriptors["cadence"].value
    near, half = (propose(motion(cadence=c * cadence))[2] for c in (0.95, 0.5))
    assert near[0].period < period - 0.002
    assert [r.period for r in half] == pytest.approx([period] * 3, abs=1e-3)


def test_nothing_goes_on_from_the_untrained_seed():
    assert {c.start for c in propose(motion(speed=0.387), selected="")[1]} == {"scratch"}


def test_small_errors_are_left_alone():
    asked, _, rewards = propose(motion(speed=0.43 - 0.09 * 0.172))
    assert rewards[0].constants["TARGET"]["speed"] == pytest.approx(
        asked.targets["speed"], abs=1e-3
    )


def test_weighing_switches_on_every_missing_term():
    _, made, rewards = propose(motion(knee=90.0))
    assert {"step", "knee", "thigh", "bob"} <= set(rewards[1].terms)
    assert made[1].start == "scratch"  # one of each iteration is not bound to the parent's gait


def test_weighing_raises_what_is_worst():
    full = draft.GOAL | dict.fromkeys(("clock", "step", "knee", "thigh", "bob"), 1.0)
    _, _, rewards = propose(motion(knee=90.0, speed=0.36), full)
    weights = rewards[1].constants["WEIGHT"]
    assert weights["knee"] == pytest.approx(1.7) and weights["speed"] == pytest.approx(1.7)
    assert weights["thigh"] == 1.0


def test_a_low_hip_is_a_target():
    low = written(motion(height=0.8), BIPED, "hip")
    hip = torch.zeros(2, len(BIPED.keypoints), 3)
    hip[:, list(BIPED.keypoints).index("hip"), 2] = torch.tensor([0.808, 0.908])
    assert low.constants["TARGET"]["height"] == pytest.approx(0.808)  # of a leg of 1.01 m
    assert low({"keypoint_pos": hip})["hip"].tolist() == pytest.approx([1.0, 0.5], abs=1e-3)
    assert "hip" not in draft.shapes(BIPED, draft.begin(EXPERT, BIPED)[0])


def test_who_limps_has_a_right_and_a_left_leg():
    limp = motion(duty=0.5, duty_skew=0.2, knee=50.0, knee_skew=30.0, thigh=45.0, thigh_skew=20.0)
    assert not alternate(limp)
    first = author.propose(BIPED, limp, None, {}, task="limp", count=2)[1].source
    assert '"knee": WEIGHT' in first and '"thigh": WEIGHT' not in first
    hopper, _ = draft.expert_targets(limp, load_robot("hopper"))
    assert not {"duty_skew", "knee_skew", "thigh_skew"} & hopper.keys()
    # By hand: the right foot stands from 0 to 0.7 of the stride, the left one from 0.7 to 1.
    state = {
        "phase": torch.tensor([0.35, 0.55, 0.85]),
        "foot_contact": torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
    }
    assert written(limp, BIPED, "clock")(state)["clock"].tolist() == pytest.approx(
        [1.0] * 3, abs=0.05
    )


def test_what_a_body_cannot_show_is_no_fault_of_its_learner():
    hopper = load_robot("hopper")
    limp = motion(duty_skew=0.2, knee_skew=30.0, thigh_skew=20.0)
    slow = replace(motion(speed=0.2), keypoints=tuple(hopper.keypoints))
    rows = critic.differences(limp, slow)
    assert (
        next(iter(rows)) == "speed" and not {"duty_skew", "knee_skew", "step", "lag"} & rows.keys()
    )
    shown = {name: row["learner"] for name, row in rows.items()}
    assert "duty_skew" not in author.errors(limp, shown)


def test_a_failed_iteration_halves_the_move():
    asked, _, rewards = propose(motion(speed=0.387), region=0.5)
    moved = 0.5 * 0.8 * 0.043 * math.sqrt(9.81 * 1.01)
    aimed = rewards[0].constants["TARGET"]["speed"]
    assert aimed == pytest.approx(asked.targets["speed"] + moved, abs=0.002)


def test_nothing_left_to_mend_is_another_seed_of_the_best():
    full = draft.GOAL | dict.fromkeys(("clock", "step", "knee", "thigh", "bob"), 1.0)
    asked, made, rewards = propose(EXPERT, full)
    assert made[0].note == "another seed of the best reward"
    assert rewards[0].constants["WEIGHT"] == pytest.approx(asked.weights)


def test_the_secant_learns_that_a_target_moves_too_little():
    targets, _ = draft.expert_targets(EXPERT, BIPED)
    child = targets | {"speed": targets["speed"] * 1.2}
    trial = {"weights": {}, "parent": "", "descriptors": {"speed": 0.43}}
    trials = [
        trial | {"name": "a", "targets": targets},
        trial | {"name": "b", "parent": "a", "targets": child, "descriptors": {"speed": 0.473}},
    ]
    # Asked for 0.5 tolerances (20 % of 0.43 over 0.172), got 0.25: (0.09 + 0.125) / (0.09 + 0.25).
    assert author.slopes(trials, EXPERT, BIPED)["speed"] == pytest.approx(0.215 / 0.34)


def test_a_reward_of_another_form_is_begun_anew():
    free = compile_reward("def reward(s):\n    return {'x': s.root_vel[:, 0]}\n", BIPED.fields)
    made = author.propose(
        BIPED, EXPERT, free, feedback(draft.Draft({}, {}), EXPERT), task="walk", count=2
    )
    assert "alive" in compile_reward(made[0].source, BIPED.fields).terms


def test_an_iteration_that_kept_the_seed_is_begun_anew():
    """There is no trained policy to go on from yet."""
    _, made, _ = propose(motion(0.1), selected="")
    assert {c.start for c in made} == {"scratch"}
    assert made[0].note == "the goal alone" and made[0].seed == 10


def test_one_leg_gets_no_terms_for_two():
    hopper = load_robot("hopper")
    two, one = (draft.shapes(r, draft.begin(EXPERT, r)[0]) for r in (BIPED, hopper))
    assert two == ("clock", "step", "knee", "thigh", "bob") and "step" not in one


# --- critic and selection ---------------------------------------------------------------------


def test_a_critique_says_what_is_wrong_in_the_papers_headings():
    said = critic.critique(EXPERT, motion(0.95, speed=0.30, knee=75.0), STANDS, noise=0.03)
    assert said["verdict"] == "better" and said["failure"] == "none" and said["eligible"]
    assert "too slow (speed 0.3, expert 0.43)" in said["wrong"]
    assert "the knee bends too much" in said["wrong"]
    assert all(len(said[h]) <= 300 for h in ("wrong", "rewrite", "remove", "add"))
    assert list(said["differences"])[0] == "speed"


@pytest.mark.parametrize(
    "learner, failure",
    [
        (motion(0.3), "fall"),
        (motion(airborne=0.4), "hop"),
        (motion(speed=0.02), "wrong_speed"),
        (motion(lag=0.1), "no_alternation"),
    ],
)
def test_failures_have_names(learner, failure):
    said = critic.critique(EXPERT, learner, STANDS, noise=0.03)
    assert said["failure"] == failure and not said["eligible"]


def test_a_gain_within_the_noise_is_the_same():
    parent = motion(speed=0.40)
    gain = compare(EXPERT, motion(speed=0.41)).closeness - compare(EXPERT, parent).closeness
    assert 0 < gain < 0.03
    assert critic.critique(EXPERT, motion(speed=0.41), parent, 0.03)["verdict"] == "same"
    assert critic.critique(EXPERT, motion(speed=0.41), parent, 0.0)["verdict"] == "better"


def judged(parent: Motion, **candidates: Motion) -> dict:
    made = {n: critic.critique(EXPERT, m, parent, 0.03) for n, m in candidates.items()}
    return {"parent": critic.critique(EXPERT, parent, parent, 0.03), "candidates": made}


def test_selection_keeps_the_parent_where_none_beats_it():
    good = motion(speed=0.42)
    assert select.choose(judged(good, c0=motion(speed=0.30), c1=motion(0.2)), 0.0) is None
    assert select.choose(judged(good), 0.0) is None


def test_selection_takes_the_closest_that_passes_the_gates():
    walk, hop = motion(speed=0.36, step=0.6), motion(airborne=0.11)
    assert compare(EXPERT, hop).closeness > compare(EXPERT, walk).closeness
    assert select.choose(judged(STANDS, c0=hop, c1=walk), 0.0) == "c1"


def test_any_honest_walk_replaces_a_parent_that_fails_a_gate():
    hop = motion(airborne=0.11)
    assert select.choose(judged(hop, c0=motion(speed=0.32, step=0.5, knee=80.0)), 0.0) == "c0"


def test_a_least_gain_is_asked_for():
    parent = motion(speed=0.40)
    better = motion(speed=0.43)
    assert select.choose(judged(parent, c0=better), 0.0) == "c0"
    assert select.choose(judged(parent, c0=better), 0.2) is None


def test_a_history_line_has_every_column():
    said = critic.critique(EXPERT, motion(knee=None), STANDS, 0.03)
    line = select.row("iter-03", "c2", said, 900_000)
    assert tuple(line) and set(line) == set(select.COLUMNS)
    assert line["knee"] == "" and line["speed"] == 0.43 and line["env_steps"] == 900_000


def test_a_fall_is_worse_than_any_walk():
    fallen = replace(motion(0.2), survival=0.2)
    assert (
        compare(EXPERT, fallen).closeness < compare(EXPERT, motion(speed=0.3, step=0.5)).closeness
    )
