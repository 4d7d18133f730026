"""Courses: measured on a stick figure, written by the author, rewarded by the terms."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from skeleton import LEG, walker

from reelward.authors import draft as drafts
from reelward.language import compile_reward
from reelward.measures.describe import robot_motion
from reelward.measures.descriptors import SKEWS
from reelward.motion.course import Course, courses, curve
from reelward.motion.cycle import gait_period
from reelward.motion.record import Motion, from_json, to_json
from reelward.motion.signals import flexion, thigh
from reelward.sim.robot import Robot, load_robot

BIPED, CHEETAH = load_robot("biped"), load_robot("half_cheetah")
PHASE = np.arange(40) / 40
"""of the stick figure's cycle, in which the right foot lands at 0"""


def measured(track, seen=("right", "left")):
    return courses(track, LEG, gait_period(track, LEG), seen)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_walks_courses_have_its_angles_at_every_phase(noise):
    legs = measured(walker(noise=noise))
    assert legs["right"].landing == pytest.approx(0.0, abs=0.01)
    assert legs["left"].landing == pytest.approx(0.5, abs=0.02)
    assert legs["left"].duty == pytest.approx(0.62, abs=0.04)
    exact = walker(fps=40 / 1.2, seconds=1.2)  # a frame each fortieth of the cycle
    for leg in ("right", "left"):
        for angle, harmonics in ((thigh, legs[leg].thigh), (flexion, legs[leg].knee)):
            miss = curve(harmonics, PHASE) - angle(exact, leg)
            # Three harmonics do not turn round at the stick figure's corners.
            assert np.sqrt(np.square(miss).mean()) < 3.5
        # A sine of 0.04 m, twice a cycle; one foot or the other always stands, so its mean is 0.
        hip = 0.02 * np.sin(4 * np.pi * PHASE) / LEG
        assert curve(legs[leg].hip, PHASE) == pytest.approx(hip, abs=0.004 + noise / 5)


def test_courses_use_the_period_that_fits_all_cycles():
    """With a period that is off by 3 %, eight cycles would end a quarter of a cycle late."""
    track = walker(seconds=9.6)
    period = gait_period(track, LEG)
    right, off = (
        courses(track, LEG, replace(period, value=share * 1.2), ("right",))["right"]
        for share in (1.0, 1.03)
    )
    assert off.thigh == pytest.approx(right.thigh, abs=0.5)


def test_a_drift_of_the_hips_height_is_left_out():
    level, rising = walker(seconds=3.0), walker(seconds=3.0)
    up = [n for n in rising.names if n.endswith(("hip", "shoulder", "head"))]
    way = 0.05 * np.arange(len(rising)) / rising.fps
    rising.points[:, [rising.names.index(n) for n in up], 1] += way[:, None]
    hips = [curve(measured(track)["right"].hip, PHASE) for track in (level, rising)]
    assert hips[1] - hips[1].mean() == pytest.approx(hips[0] - hips[0].mean(), abs=0.001)


def test_without_a_cycle_a_leg_or_a_landing_there_is_no_course():
    track = walker()
    period = gait_period(track, LEG)
    assert courses(track, LEG, None, ("right",)) == {} == measured(track, ())
    names = [n for n in track.names if n.startswith("right") and n.endswith(("heel", "toe"))]
    for height in (0.0, 0.3):  # a foot that slides along always stands or never does
        points = track.points.copy()
        points[:, [track.names.index(n) for n in names]] = [0.0, height]
        held = replace(track, points=points)
        always = courses(held, LEG, period, ("right", "left"))
        assert always == {}


def test_a_later_course_is_shifted():
    wave = (10.0, 3.0, 0.0, 0.0, 2.0, 0.0, 0.0)
    later = Course(0.9, 0.6, wave, wave, wave).later(0.25)
    assert later.landing == pytest.approx(0.15) and later.duty == 0.6
    # By hand: 3 cos becomes 3 sin, and twice as fast 2 sin becomes -2 sin.
    assert later.thigh == pytest.approx((10.0, 0.0, 3.0, 0.0, -2.0, 0.0, 0.0), abs=1e-9)
    for moved in (later.knee, later.hip):
        assert curve(moved, PHASE + 0.25) == pytest.approx(curve(wave, PHASE))


def test_courses_survive_json():
    motion = robot_motion(walker(), "biped", LEG, 1.0)
    assert motion.courses.keys() == {"right", "left"}
    again = from_json(to_json(motion))
    assert again.courses["left"].knee == pytest.approx(motion.courses["left"].knee, rel=1e-5)


def walks(thigh_deg: float) -> Motion:
    """A walk in which only the right leg is measured; its thigh swings about `thigh_deg`."""
    motion = robot_motion(walker(), "biped", LEG, 1.0)
    swing = motion.descriptors["thigh"].value
    one = Course(
        0.0, 0.62, (thigh_deg, swing / 2, 0.0, 0.0, 0.0, 0.0, 0.0),
        (30.0, -20.0, 0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.01, 0.0, -0.03, 0.0, 0.0, 0.0),
    )  # fmt: skip
    unknown = {n: replace(motion.descriptors[n], usable=False) for n in (*SKEWS, "height")}
    return replace(motion, descriptors=motion.descriptors | unknown, courses={"right": one})


def posed(phase: np.ndarray, right: tuple[float, ...], left: tuple[float, ...]) -> dict:
    """Fields of a biped whose thighs are at angles (degrees) and whose knees are straight."""
    points = np.zeros((len(phase), len(BIPED.keypoints), 3))
    for leg, angles in (("right", right), ("left", left)):
        a = np.radians(angles)
        for joint, length in (("knee", 0.5), ("ankle", 1.0)):
            at = length * np.stack([np.sin(a), 0 * a, -np.cos(a)], axis=1)
            points[:, list(BIPED.keypoints).index(f"{leg}_{joint}")] = at
    return {
        name: torch.tensor(x, dtype=torch.float32)
        for name, x in (("phase", phase), ("keypoint_pos", points))
    }


def test_both_legs_follow_the_experts_course():
    leaning = walks(30.0)
    draft, _ = drafts.begin(leaning, BIPED)
    assert draft.courses.keys() == {"knee", "thigh", "bob"}
    on = replace(draft, weights={}).with_term("thigh")
    assert on.weights == {"thigh": 1.0, "speed": 2.5}  # a course can be followed on the spot
    text = drafts.source(on, BIPED, "Walk.")
    reward = compile_reward(text, BIPED.fields)
    half = leaning.descriptors["thigh"].value / 2
    right = 30 + half * np.cos(2 * np.pi * PHASE)
    left = 30 - half * np.cos(2 * np.pi * PHASE)  # half a cycle later
    state = posed(PHASE, right, left) | {"root_vel": torch.zeros(40, 3)}
    assert reward(state)["thigh"].tolist() == pytest.approx([1.0] * 40, abs=1e-3)
    upright = posed(PHASE, right - 30, left - 30) | {"root_vel": torch.zeros(40, 3)}
    missed = 1 / (1 + (math.radians(30) / 0.2) ** 2)
    assert reward(upright)["thigh"].tolist() == pytest.approx([missed] * 40, abs=1e-3)


def test_legs_of_other_names_alternate_with_the_measured_one():
    hopper = load_robot("hopper")
    assert drafts.begin(walks(30.0), hopper)[0].courses["thigh"].keys() == {"right"}
    thigh = drafts.begin(walks(30.0), CHEETAH)[0].courses["thigh"]
    # By hand: a cosine of range 1, and half a cycle later.
    assert thigh["hind"] == pytest.approx([math.radians(30), 0.5, *[0.0] * 5], abs=1e-6)
    assert thigh["front"] == pytest.approx([math.radians(30), -0.5, *[0.0] * 5], abs=1e-6)


def test_hind_and_front_leg_land_when_the_experts_do():
    still = (0.0,) * 7
    gallop = replace(
        walks(0.0), keypoints=tuple(CHEETAH.keypoints),
        courses={
            "hind": Course(0.0, 0.3, (30.0, 20.0, *still[2:]), (100.0, 30.0, *still[2:]), still),
            "front": Course(0.8, 0.1, (-20.0, 20.0, *still[2:]), (-70.0, 30.0, *still[2:]), still),
        },
    )  # fmt: skip
    draft, _ = drafts.begin(gallop, CHEETAH)
    assert draft.landings["hind"] == pytest.approx((0.0, 1.5))
    assert draft.landings["front"] == pytest.approx((0.8, 0.5))
    assert draft.courses["knee"]["front"][0] == pytest.approx(math.radians(70))
    assert draft.courses["knee"]["front"][1] == pytest.approx(-0.5)
    contact = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    state = {"phase": torch.tensor([0.5, 0.5, 0.95]), "foot_contact": contact}

    def obeyed(duty: float) -> list[float]:
        timed = replace(draft.with_target("duty", duty), weights={"clock": 1.0})
        text = drafts.source(timed, CHEETAH, "Gallop.")
        return compile_reward(text, CHEETAH.fields)(state)["clock"].tolist()

    # The hind foot stands from 0 to 0.9, the front one from 0.8 to 1.1.
    assert obeyed(0.6) == pytest.approx([1.0, 0.5, 0.85], abs=0.15)
    # None stands for less than nothing, wherever the author's aim has gone.
    assert obeyed(-0.1) == pytest.approx(obeyed(0.0))


def test_a_limp_follows_the_courses_and_landings_of_both_legs():
    limp = replace(
        walks(0.0),
        courses={
            "right": Course(
                0.0, 0.7, (30.0, 30.0, *[0.0] * 5), (60.0, 40.0, *[0.0] * 5), (0.0,) * 7
            ),
            "left": Course(
                0.63, 0.3, (-40.0, 10.0, *[0.0] * 5), (5.0, 5.0, *[0.0] * 5), (0.0,) * 7
            ),
        },
    )
    skews = {"duty_skew": 0.2, "knee_skew": 35.0, "thigh_skew": 20.0}
    known = {n: replace(limp.descriptors[n], value=v, usable=True) for n, v in skews.items()}
    draft, _ = drafts.begin(replace(limp, descriptors=limp.descriptors | known), BIPED)
    assert draft.landings == {"right": (0.0, 1.4), "left": pytest.approx((0.63, 0.6))}
    assert "duty_skew" not in draft.targets  # nothing would read it
    assert drafts.shapes(BIPED, draft) == ("clock", "knee", "thigh", "bob")  # no even steps
    swung = draft.with_target("thigh", 1.0).with_target("thigh_skew", 0.4)
    on = replace(swung, weights={"thigh": 1.0})
    thigh = compile_reward(drafts.source(on, BIPED, "Limp."), BIPED.fields)
    # Range 1.4 rad about 30 degrees, 0.6 rad about -40.
    wave = np.cos(2 * np.pi * PHASE)
    state = posed(PHASE, 30 + np.degrees(0.7) * wave, -40 + np.degrees(0.3) * wave)
    assert thigh(state)["thigh"].tolist() == pytest.approx([1.0] * 40, abs=1e-3)


def test_the_hip_follows_the_experts_rise_and_fall_about_its_own_height():
    """The first harmonic, by which left and right steps differ, is left out."""
    seen = walks(30.0)
    draft, _ = drafts.begin(seen, BIPED)
    reach = draft.targets["bob"]
    on = replace(draft, weights={"bob": 1.0})
    reward = compile_reward(drafts.source(on, BIPED, "Walk."), BIPED.fields)
    points = torch.zeros(40, len(BIPED.keypoints), 3)
    path = 0.95 * BIPED.leg_length_m - reach / 2 * np.cos(4 * np.pi * PHASE)
    points[:, list(BIPED.keypoints).index("hip"), 2] = torch.tensor(path, dtype=torch.float32)
    state = {"phase": torch.tensor(PHASE, dtype=torch.float32), "keypoint_pos": points}
    assert reward(state)["bob"].tolist() == pytest.approx([1.0] * 40, abs=1e-3)
    points[..., 2] += 0.05
    assert reward(state)["bob"].tolist() == pytest.approx([0.5] * 40, abs=2e-3)
    low = {"height": replace(seen.descriptors["height"], value=0.8, usable=True)}
    bent, _ = drafts.begin(replace(seen, descriptors=seen.descriptors | low), BIPED)
    text = drafts.source(replace(bent, weights={"bob": 1.0}), BIPED, "Crouch.")
    assert "HIP_HEIGHT" not in text
    points[..., 2] += 0.8 * BIPED.leg_length_m - 0.95 * BIPED.leg_length_m - 0.05
    crouch = compile_reward(text, BIPED.fields)
    assert crouch(state)["bob"].tolist() == pytest.approx([1.0] * 40, abs=1e-3)


def test_a_skewed_range_is_never_negative():
    text = """PERIOD = 1.0
def reward(s):
    course = {"right": [0.0, 0.5, 0.0], "left": [0.0, 0.5, 0.0]}
    return {"much": follow(s, thigh_angle, 0.2, course, 0.3, skew=0.5),
            "none": follow(s, thigh_angle, 0.35, course, 0.3, skew=0.35)}
"""
    earned = compile_reward(text, BIPED.fields)(posed(PHASE, 0 * PHASE, 0 * PHASE))
    assert torch.equal(earned["much"], earned["none"])


def test_a_parents_term_without_a_target_or_a_course_is_dropped():
    parent = drafts.begin(walks(30.0), BIPED)[0].with_term("thigh").with_term("step")
    text = drafts.source(parent, BIPED, "Walk.")
    seen = walks(30.0)
    lost = {"step": replace(seen.descriptors["step"], usable=False)}
    base, _ = drafts.begin(replace(seen, descriptors=seen.descriptors | lost, courses={}), BIPED)
    reward = compile_reward(text.replace('"step": 0', '"stride": 0', 1).replace(
        'TARGET["step"]', 'TARGET["stride"]'), BIPED.fields)  # fmt: skip
    read = drafts.read(reward, base)
    assert read.weights == drafts.GOAL | {"speed": 2.5}
    assert compile_reward(drafts.source(read, BIPED, "Walk."), BIPED.fields)


def test_a_body_without_ankles_gets_the_terms_it_supports():
    points = {n: at for n, at in BIPED.keypoints.items() if not n.endswith("ankle")}
    legs = Robot(**BIPED.model_dump() | {"keypoints": points})
    assert drafts.shapes(legs, drafts.begin(walks(30.0), legs)[0]) == ("clock", "thigh", "bob")


def test_unusable_figures_give_no_course():
    seen = walks(30.0)
    lost = {n: replace(seen.descriptors[n], usable=False) for n in ("knee", "thigh", "step", "bob")}
    draft, _ = drafts.begin(replace(seen, descriptors=seen.descriptors | lost), BIPED)
    assert not draft.courses and drafts.shapes(BIPED, draft) == ("clock",)


def test_a_leg_with_a_shorter_stance_lands_later_by_the_skew():
    """Only its stance is known, so it follows the other leg's course."""
    spares = walks(30.0)
    known = {"duty_skew": replace(spares.descriptors["duty_skew"], value=0.1, usable=True)}
    draft, _ = drafts.begin(replace(spares, descriptors=spares.descriptors | known), BIPED)
    assert not draft.landings and "duty_skew" in draft.targets
    mean, cosine, sine, *_ = draft.courses["thigh"]["left"]
    assert math.atan2(sine, cosine) / (2 * math.pi) % 1 == pytest.approx(0.6)
