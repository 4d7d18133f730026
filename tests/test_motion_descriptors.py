"""Descriptors and closeness of stick figures whose figures are known."""

from dataclasses import replace

import numpy as np
import pytest
from skeleton import LEG, NAMES, knee_range, walker

from reelward.measures.base import Episodes
from reelward.measures.describe import describe, robot_motion
from reelward.measures.descriptors import SKEWS, measurable
from reelward.measures.gait import Gait, compare
from reelward.motion.cycle import gait_period
from reelward.motion.record import Descriptor, Motion, from_json, to_json
from reelward.motion.track import Scale, Track, on_clock, pack, unpack
from reelward.records import Comparison
from reelward.sim.robot import load_robot

SCALE = Scale(LEG, LEG)
ROOT = np.sqrt(LEG / 9.81)


def values(track, **keywords):
    return {n: d.value for n, d in describe(track, SCALE, **keywords).items() if d.usable}


@pytest.mark.parametrize("fps", [20, 25, 30, 50, 60, 125])
def test_a_walk_has_the_figures_it_was_made_with(fps):
    track = walker(fps=fps)
    got = values(track)
    assert got["speed"] == pytest.approx(1.2 / np.sqrt(9.81 * LEG), rel=0.005)
    assert got["cadence"] == pytest.approx(ROOT / 1.2, rel=0.005)
    # Half a stance ahead at landing, while the other foot, 0.12 into its own phase, lags as far.
    assert got["step"] == pytest.approx(1.2 * 0.6 / LEG, rel=0.03)
    assert got["bob"] == pytest.approx(0.04 / LEG, rel=0.08)
    # The stick figure turns its knee round at a corner, of which the low-pass takes a little.
    assert got["knee"] == pytest.approx(knee_range(track), rel=0.11)
    assert got["lean"] == pytest.approx(4.0, abs=0.2)
    assert got["sway"] == pytest.approx(6.0, abs=0.2)
    assert got["lag"] == pytest.approx(0.5, abs=0.01)
    assert got["duty"] == pytest.approx(0.62, abs=0.03)
    assert got["airborne"] == 0.0


def test_the_hips_height_is_measured_over_the_soles_while_a_foot_stands():
    crouching = LEG - 0.2
    assert values(walker())["height"] == pytest.approx(crouching / LEG, abs=0.005)
    assert values(walker(noise=0.01))["height"] == pytest.approx(crouching / LEG, abs=0.02)
    deeper = describe(walker(), replace(SCALE, sole=0.06))["height"]
    assert deeper.value == pytest.approx((crouching + 0.06) / LEG, abs=0.005)
    run = describe(walker(duty=0.35, speed=2.5, period=0.7), SCALE)["height"]
    assert not run.usable and run.why == "too long in flight to tell"


def test_a_robots_hip_is_measured_from_below_its_soles():
    biped, track = load_robot("biped"), walker()
    points = np.zeros((len(track), 1, len(biped.keypoints), 3))
    for i, name in enumerate(biped.keypoints):
        points[:, 0, i, [0, 2]] = track.point(name)
    lived = np.array([len(track)])
    motion = Gait().of(biped, Episodes(points[..., 0], points, lived, {}, 0.02))
    # The points of its feet are in the middle of soles of 0.06 m radius; its leg is 1.01 m long.
    assert motion.descriptors["height"].value == pytest.approx((LEG - 0.2 + 0.06) / 1.01, abs=0.005)


def test_a_skew_is_the_distance_of_each_leg_from_the_mean_of_both():
    even, limp = walker(), walker(duty=0.7, spare=0.3)
    for track in (even, limp):
        got = values(track)
        knees = [knee_range(track, side) for side in ("right", "left")]
        assert got["knee_skew"] == pytest.approx((knees[0] - knees[1]) / 2, abs=4.0)
    assert values(even)["duty_skew"] == pytest.approx(0.0, abs=0.01)
    assert values(limp)["duty_skew"] == pytest.approx(0.15, abs=0.02)
    assert values(limp)["duty"] == pytest.approx(0.55, abs=0.03)
    # It is about the leg that is named right, not about the first one.
    names = sorted(NAMES)
    turned = Track(
        limp.points[:, [NAMES.index(n) for n in names]], limp.confidence, 50.0, tuple(names)
    )
    assert turned.legs == ("left", "right")
    assert values(turned)["duty_skew"] == pytest.approx(values(limp)["duty_skew"])


@pytest.mark.parametrize("fps", [30, 50])
def test_noise_of_a_centimetre_changes_little(fps):
    clean, noisy = values(walker(fps=fps)), values(walker(fps=fps, noise=0.01))
    for name, allowed in {
        "speed": 0.01, "cadence": 0.005, "step": 0.03, "bob": 0.03, "knee": 6, "lag": 0.03,
        "duty": 0.05, "airborne": 0.02,
    }.items():  # fmt: skip
        assert noisy[name] == pytest.approx(clean[name], abs=allowed), name


def test_a_run_leaves_the_ground_and_a_hop_moves_both_legs_at_once():
    run = values(walker(duty=0.35, speed=2.5, period=0.7))
    hop = values(walker(lag=0.0, duty=0.45, speed=1.0, period=0.8))
    assert run["airborne"] == pytest.approx(0.30, abs=0.08)
    assert run["lag"] == pytest.approx(0.5, abs=0.01)
    assert hop["airborne"] == pytest.approx(0.55, abs=0.08)
    assert hop["lag"] == pytest.approx(0.0, abs=0.01)
    assert hop["step"] == pytest.approx(0.0, abs=0.01)
    assert hop["cadence"] == pytest.approx(ROOT / 0.8, rel=0.01)


def test_a_fraction_of_the_frames_is_no_more_exact_than_one_of_them():
    """The walker never leaves the ground in any cycle."""
    airborne = describe(walker(fps=50, seconds=8.0), SCALE)["airborne"]
    assert airborne.value == 0.0 and airborne.uncertainty == pytest.approx(1 / 400, rel=0.01)


def test_standing_has_no_period():
    track = walker(speed=0.0, lift=0.0, bob=0.0, sway=0.0, noise=0.002)
    got = describe(track, SCALE)
    assert gait_period(track, LEG) is None
    assert got["speed"].value == pytest.approx(0.0, abs=1e-3)
    for name in ("cadence", "step", "bob", "knee", "duty", "lag"):
        assert not got[name].usable and got[name].why == "no period found"


def test_marching_on_the_spot_has_no_speed_and_no_steps():
    got = values(walker(speed=0.0, lift=0.15))
    assert got["speed"] == pytest.approx(0.0, abs=1e-6)
    assert got["step"] == pytest.approx(0.0, abs=1e-6)
    assert got["cadence"] == pytest.approx(ROOT / 1.2, rel=0.01)


def test_the_time_scale_undoes_slow_motion():
    """A video at half speed, with and without its time scale."""
    slow = replace(walker(fps=60), fps=30.0)
    true = describe(walker(fps=60), SCALE)
    given = describe(slow, replace(SCALE, time=0.5))
    unknown = describe(slow, replace(SCALE, time=None))
    assert given["speed"].value == pytest.approx(true["speed"].value, rel=0.01)
    assert given["cadence"].value == pytest.approx(true["cadence"].value, rel=0.01)
    assert not unknown["speed"].usable and not unknown["cadence"].usable
    assert unknown["step"].value == pytest.approx(true["step"].value, rel=0.02)


def test_the_speeds_uncertainty_has_half_the_relative_error_of_the_size():
    got = describe(walker(), replace(SCALE, error=0.10))["speed"]
    assert got.uncertainty == pytest.approx(0.05 * got.value, rel=0.02)


def test_a_change_of_pace_is_the_speeds_uncertainty():
    fast, slow = walker(seconds=4.8, speed=1.2), walker(seconds=4.8, speed=0.9)
    points = slow.points + np.array([1.2 * 4.8, 0], np.float32)
    both = replace(fast, points=np.concatenate([fast.points, points]))
    got = describe(both, SCALE)["speed"]
    expected = 0.15 / np.sqrt(9.81 * LEG)
    assert got.value == pytest.approx(1.05 / np.sqrt(9.81 * LEG), rel=0.03)
    assert got.uncertainty == pytest.approx(expected, rel=0.2)


def part(track, keep):
    index = [i for i, n in enumerate(track.names) if keep(n)]
    names = tuple(track.names[i] for i in index)
    return Track(track.points[:, index], track.confidence[:, index], track.fps, names)


def test_only_what_the_body_lacks_is_unusable():
    one_leg = part(walker(), lambda n: not n.startswith("left_"))
    no_trunk = part(walker(), lambda n: n not in ("head", "shoulder"))
    assert not {"step", "lag", *SKEWS} & measurable(one_leg.names)
    # This leg alone stands for 0.62 of the time: too little to know the ground under the hip.
    assert set(values(one_leg)) == measurable(one_leg.names) - {"height"}
    one_knee = part(walker(), lambda n: n != "left_knee")
    assert not {"knee_skew", "thigh_skew"} & set(values(one_knee))
    assert {"knee", "thigh", "duty_skew"} <= set(values(one_knee))
    one_sole = part(walker(), lambda n: n not in ("left_heel", "left_toe"))
    assert "duty_skew" not in values(one_sole)
    assert set(values(no_trunk)) == measurable(no_trunk.names)
    assert not {"lean", "sway"} & set(values(no_trunk)) and "knee" in values(no_trunk)
    assert "lacks" in describe(one_leg, SCALE)["step"].why
    bare = part(walker(), lambda n: n == "hip")
    assert set(values(bare)) <= {"speed", "cadence", "bob"}


def test_a_track_that_diverges_or_ends_at_once_is_unusable():
    track = walker(seconds=2.0)
    broken = track.points.copy()
    broken[5:] = np.nan
    got = describe(replace(track, points=broken), SCALE)
    assert not any(d.usable for d in got.values()) and got["speed"].why == "only 5 frames"
    assert not any(d.usable for d in describe(track.cut(0, 0.02), SCALE).values())


def test_joint_ranges_are_those_of_the_near_leg_alone():
    track = walker()
    stiff = track.points.copy()
    for name in ("knee", "ankle", "heel", "toe"):
        stiff[:, NAMES.index(f"left_{name}")] = track.points[:, NAMES.index("left_hip")] - [0, 0.4]
    near = values(replace(track, points=stiff), near="right")
    assert near["knee"] == pytest.approx(values(track)["knee"], abs=0.5)


def test_a_distrusted_descriptor_keeps_its_value_but_is_unusable():
    got = describe(walker(), SCALE, distrust={"lean": "seen from one camera"})["lean"]
    assert got.value == pytest.approx(4.0, abs=0.2)
    assert not got.usable and got.why == "seen from one camera"


def test_uneven_frame_times_give_the_same_figures():
    even = walker(fps=60)
    times = np.arange(len(even)) / 60
    keep = np.sort(np.random.default_rng(0).permutation(len(times))[: len(times) * 3 // 4])
    track = on_clock(times[keep], even.points[keep], even.confidence[keep], even.names)
    assert values(track)["speed"] == pytest.approx(values(even)["speed"], rel=0.01)
    assert values(track)["cadence"] == pytest.approx(values(even)["cadence"], rel=0.01)


def test_a_track_and_a_motion_survive_their_files():
    track = walker(seconds=3.0)
    assert pack(track) == pack(unpack(pack(track)))
    motion = robot_motion(track, "biped", LEG, 1.0)
    plain = to_json(motion)
    assert to_json(from_json(plain)) == plain and plain["subject"] == "robot:biped"
    with pytest.raises(ValueError, match="motion.json"):
        from_json({"subject": "person"})


def figure(value, uncertainty=0.0, usable=True):
    return Descriptor(value, "", uncertainty, usable)


def motion(subject, descriptors):
    return Motion(subject, 50.0, 8.0, 1.0, 1.0, None, descriptors)


def test_closeness_by_hand():
    expert = {
        "speed": figure(0.40, 0.01),  # weight 2, tolerance 0.16
        "step": figure(0.80, 0.40),  # weight 2, tolerance is its uncertainty
        "duty": figure(0.60),  # weight 1, tolerance 0.12
        "lean": figure(-9.0, usable=False),
        "lag": figure(0.5),  # weight 1, tolerance 0.15; the learner does not give it
        "knee": figure(57.0),  # the learner has no knees
    }
    learner = {"speed": figure(0.44), "step": figure(0.60), "duty": figure(0.75)}
    bones = ("shoulder", "right_hip", "right_ankle", "right_toe", "left_hip", "left_ankle")
    got = compare(
        motion("person", expert), replace(motion("robot:x", learner), keypoints=bones, survival=0.8)
    )
    parts = {row.name: row.part for row in got.usable_rows}
    assert parts == pytest.approx({"speed": 0.75, "step": 0.5, "duty": 0.0, "lag": 0.0})
    assert [row.name for row in got.usable_rows] == ["lag", "duty", "step", "speed"]
    rows = {row.name: row for row in got.rows}
    assert (rows["speed"].off, rows["speed"].tolerance) == pytest.approx((0.25, 0.16))
    assert rows["knee"].why == "the learner's body lacks the points for it"
    assert got.closeness == pytest.approx(0.8 * (2 * 0.75 + 2 * 0.5) / 6)
    assert got.gates == {"survival": False, "speed": True, "alternation": False}
    assert got.failure == "fall"
    assert not got.eligible


def judge(track, survival=1.0) -> Comparison:
    expert = robot_motion(walker(), "expert", LEG, 1.0)
    return compare(expert, robot_motion(track, "biped", LEG, survival))


def collapse():
    """Half a second of walking, then a heap on the ground."""
    track = walker(fps=50)
    points = track.points.copy()
    heap = points[25] * [1, 0.1]
    points[25:] = heap
    return replace(track, points=points.astype(np.float32))


def test_cheats_lose_to_a_walk():
    honest = judge(walker(speed=1.05, period=1.3, duty=0.65, bob=0.05, noise=0.003))
    assert honest.eligible and honest.closeness > 0.7
    cheats = {
        "collapse": judge(collapse(), survival=0.06),
        "collapse that is not noticed": judge(collapse()),
        "march on the spot": judge(walker(speed=0.0, lift=0.15)),
        "shuffle": judge(walker(speed=0.4, period=0.6, lift=0.03, bob=0.01)),
        "hop": judge(walker(lag=0.0, duty=0.45, period=0.8)),
        "stand": judge(walker(speed=0.0, lift=0.0, bob=0.0, sway=0.0)),
    }
    assert not judge(walker(speed=-1.2)).eligible
    for name, cheat in cheats.items():
        assert not cheat.eligible, name
        assert cheat.closeness < honest.closeness - 0.15, name
