"""The expert's side: camera, outlines, pose, contact sheet, and the stage over them."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from clips import ROOT, beast, real, scenery, weights
from skeleton import LEG, walker

from reelward.measures.descriptors import SKEWS, SPECS
from reelward.measures.gait import alternate
from reelward.measures.reference import distrust, reference
from reelward.motion import person
from reelward.motion.camera import Camera, moved
from reelward.motion.cycle import (
    best_cycle,
    by_energy,
    gait_period,
    gait_signal,
    keyframes,
    landings,
    period_of,
)
from reelward.motion.expert import Wish, measure
from reelward.motion.pose import NAMES, PoseModel
from reelward.motion.sheet import SIZE, Tile, ground_under, sheet
from reelward.motion.signals import flexion
from reelward.motion.subject import Person, Silhouette, follow_outline, from_points
from reelward.motion.track import Track
from reelward.motion.video import Frame, VideoError, encode_mp4, frames
from reelward.runtime import files
from reelward.runtime.validation import validate
from stages import keyframes as keyframes_stage

WISH = Wish(shot=None, at=None, tiles=8, stature=1.65, time_scale=1.0)


@contextmanager
def quiet(total, what):
    yield SimpleNamespace(advance=lambda n=1: None)


def test_the_period_of_a_wave_is_found_and_noise_has_none():
    t = np.arange(300) / 30
    wave = np.stack([np.sin(2 * np.pi * t / 1.1), 0.3 * np.sin(4 * np.pi * t / 1.1)], axis=1)
    assert period_of(wave + 0.2 * t[:, None], 30.0).value == pytest.approx(1.1, abs=0.01)
    noise = np.random.default_rng(0).normal(size=(300, 2))
    assert period_of(noise, 30.0) is None
    assert period_of(wave[:40], 30.0) is None  # fewer than two cycles
    assert period_of(np.zeros((300, 2)), 30.0) is None


def test_half_a_stride_is_no_period_of_a_walk():
    assert gait_period(walker(), LEG).value == pytest.approx(1.2, abs=0.005)


def test_who_hops_with_a_still_leg_is_timed_by_the_rise_and_fall():
    """A leg that swings by a tenth of its length, seen with errors of the same size."""
    rng, t = np.random.default_rng(1), np.arange(131) / 30
    wave = 2 * np.pi * t / 0.7
    hip = np.stack([1.0 * t, 0.15 * np.abs(np.sin(wave / 2))], axis=1)
    ankle = hip + np.stack([0.05 * np.sin(wave), -1.0 + 0.02 * np.cos(wave)], axis=1)
    seen = np.stack([hip, ankle + rng.normal(0.0, 0.06, ankle.shape)], axis=1)
    track = Track(seen.astype(np.float32), np.ones((131, 2)), 30.0, ("hip", "right_ankle"))
    assert gait_period(track, 1.0).value == pytest.approx(0.7, abs=0.02)


def test_keyframes_are_equal_phases_from_a_landing_of_the_first_leg():
    track = walker(fps=30)
    picks = keyframes(track, LEG, 8)
    assert np.diff([p.frame for p in picks]) == pytest.approx(1.2 * 30 / 8, abs=0.51)
    assert [p.phase for p in picks] == [i / 8 for i in range(8)]
    # The stick figure's right foot lands at whole multiples of its period.
    assert picks[0].time % 1.2 == pytest.approx(0, abs=0.05)


def test_the_cycle_that_closes_best_is_taken():
    track = walker(fps=30, seconds=6.0)
    points = track.points.copy()
    points[:80] += np.random.default_rng(0).normal(0, 0.08, points[:80].shape)
    spoilt = replace(track, points=points)
    start = best_cycle(gait_signal(spoilt), 1.2, 30.0, landings(spoilt, 1.2))
    assert start >= 78


def test_without_a_period_the_pictures_follow_the_movement():
    """Still for two seconds, then one move: the pictures lie in the move, in order."""
    still, move = np.zeros((60, 2)), np.linspace(0, 1, 30)[:, None] * [1.0, 0.5]
    picks = by_energy(np.concatenate([still, move]), 30.0, 8)
    frames_ = [p.frame for p in picks]
    assert frames_ == sorted(frames_) and sum(f >= 59 for f in frames_) >= 6
    assert all(p.phase is None for p in picks)


def test_a_pan_is_measured_while_the_subject_walks_on():
    world = scenery(200, 1000)
    camera, errors = Camera(), []
    for i in range(60):
        x = 5 * i
        image = world[:, x : x + 400].copy()
        image[60:180, 100 + 3 * i : 160 + 3 * i] = (250, 20, 20)
        view = camera.step(image, (100 + 3 * i, 60, 160 + 3 * i, 180))
        errors.append(np.linalg.norm(moved(view, np.array([[200.0, 100.0]])) - [[200 + x, 100]]))
    assert max(errors) < 2.0 and camera.known_fraction == 1.0


def test_before_a_bare_wall_the_camera_is_not_known():
    camera = Camera()
    for _ in range(10):
        view = camera.step(np.full((120, 160, 3), 200, np.uint8), None)
    assert camera.known_fraction == 0.0 and np.array_equal(view, np.eye(3))


def beasts(flight, cycle=15, count=60, hold=2, fps=24.0):
    """A looped film of `cycle` pictures, each held for `hold` frames."""
    return [Frame(i, i / fps, beast((i // hold) / cycle, flight)) for i in range(count * hold)]


@pytest.mark.parametrize("flight", [0.0, 0.25, 0.5])
def test_an_outline_gives_period_and_time_in_the_air(flight):
    got = reference(follow_outline(beasts(flight), count=8), None)
    assert got.subject == "silhouette"
    assert got.period.value == pytest.approx(15 * 2 / 24, rel=0.01)
    air = got.descriptors["airborne"]
    assert air.usable and air.value == pytest.approx(flight, abs=1 / 15)
    assert not any(d.usable for n, d in got.descriptors.items() if n != "airborne")
    assert got.duplicates_dropped == 60
    assert any("time scale" in n for n in got.notes)


def test_the_gate_closes_on_what_is_no_outline():
    busy = [Frame(i, i / 24, scenery(180, 320, seed=i)) for i in range(30)]
    still = [Frame(i, i / 24, beast(0.3)) for i in range(60)]
    left = [Frame(f.index, f.time, np.roll(f.image, 120, axis=1)) for f in beasts(0.25)]
    jumping = [
        Frame(f.index, f.time, f.image if f.index % 7 < 3 else cv2.rectangle(
            f.image.copy(), (60, 10), (260, 170), (30, 30, 30), -1
        ))
        for f in beasts(0.25)
    ]  # fmt: skip
    for stream in (busy, still, left, jumping, []):
        assert follow_outline(stream, count=8) is None


def test_the_horse_has_its_period_and_flies():
    path = real("horse_gallop_muybridge.mp4")
    got = reference(follow_outline(frames(path, side=320), count=8), None)
    assert got.period.value == pytest.approx(1.501, abs=0.005)
    assert got.descriptors["airborne"].value == pytest.approx(0.22, abs=0.03)


def test_a_tile_puts_the_body_in_its_middle_on_the_ground_line():
    image = np.full((300, 500, 3), 128, np.uint8)
    image[100:200, 90:110] = (255, 0, 0)  # a body 100 high, its feet at 200, its middle at 100
    for flip in (False, True):
        drawn = sheet([Tile(image, 100, 200, 100, 0.5, 0.25, flip)])
        red = (drawn[..., 0] > 200) & (drawn[..., 1] < 80)
        ys, xs = np.nonzero(red[:, 20:-20])
        assert drawn.shape == (SIZE, SIZE, 3)
        assert xs.mean() + 20 == pytest.approx(SIZE / 2, abs=2)
        assert np.ptp(ys[np.abs(xs + 20 - SIZE / 2) < 4]) == pytest.approx(0.72 * SIZE, abs=3)
        assert ys.max() == pytest.approx(0.9 * SIZE, abs=2)


def test_sheets_have_four_columns_and_the_same_bytes_again():
    tiles = [Tile(scenery(100, 100, i), 50, 90, 80, i / 10, i / 8) for i in range(8)]
    drawn = sheet(tiles)
    assert drawn.shape == (2 * SIZE, 4 * SIZE, 3)
    assert np.array_equal(drawn, sheet(tiles))
    assert sheet(tiles[:5]).shape == (2 * SIZE, 4 * SIZE, 3)


def test_the_ground_stays_while_the_body_jumps():
    lowest = np.full(60, 200.0)
    lowest[25:35] -= 40 * np.sin(np.linspace(0, np.pi, 10))
    assert ground_under(lowest, 20) == pytest.approx(np.full(60, 200.0), abs=1)


def seen_from(track, turn):
    """A stick figure as the follower sees it: pixels, y down; elbows and wrists at the shoulder."""
    have = {n: track.point(n) for n in track.names}
    points = np.stack(
        [have.get(n, have["shoulder"]) for n in NAMES], axis=1
    ) * [100 * turn, -100] + [600, 300]  # fmt: skip
    count = len(track)
    return person.Followed(
        times=np.arange(count) / track.fps,
        indices=np.arange(count),
        points=points,
        confidence=np.ones(points.shape[:2]),
        views=np.tile(np.eye(3), (count, 1, 1)),
        camera=1.0,
        dropped=0,
    )


@pytest.mark.parametrize("turn, near", [(1, "right"), (-1, "left")])
def test_travel_is_turned_forward_and_the_near_side_told(turn, near):
    track, turned = person.to_track(seen_from(walker(fps=30), turn))
    assert turned == (turn < 0)
    assert track.centre[-1, 0] > track.centre[0, 0]
    assert person.near_leg(track, turned) == near
    scale = person.scale_of(track, 1.65, 1.0)
    assert scale.leg == pytest.approx(100 * LEG, rel=0.03)
    assert scale.metres == pytest.approx(0.8745)


@pytest.mark.parametrize("turn", [1, -1])
def test_who_walks_backwards_has_a_negative_speed(turn):
    film = seen_from(walker(fps=30), turn)
    track, turned = person.to_track(replace(film, points=film.points[::-1]))
    assert turned == (turn < 0)
    assert track.centre[-1, 0] < track.centre[0, 0]


def test_on_the_spot_the_toes_say_where_forward_is():
    track, turned = person.to_track(seen_from(walker(speed=0.0, lift=0.15), -1))
    assert turned and person.facing(track) > 0


def test_a_frontal_view_and_a_hidden_camera_withdraw_what_they_spoil():
    seen = from_points(seen_from(walker(fps=30), 1), 600, count=8, stature=1.65, time_scale=1.0)
    assert set(distrust(seen)) == {"lean", "sway"}
    assert set(distrust(replace(seen, camera=0.1))) == {"lean", "sway", "speed"}
    hidden = seen.track.confidence * (np.array(seen.track.names) != "left_ankle")
    doubts = distrust(replace(seen, track=replace(seen.track, confidence=hidden)))
    assert set(doubts) == {"lean", "sway", "step", "lag", "airborne"}
    points = seen.track.points.copy()
    points[:, NAMES.index("right_shoulder"), 0] += 30
    doubts = distrust(replace(seen, track=replace(seen.track, points=points)))
    assert set(doubts) == set(SPECS) - {"cadence", "bob"}


@pytest.mark.parametrize("crouch, usable", [(0.05, False), (0.2, True)])
def test_a_hip_is_called_low_where_the_pose_models_error_cannot_explain_it(crouch, usable):
    seen = seen_from(walker(fps=30, crouch=crouch, bob=0.01, speed=0.5), 1)
    subject = from_points(seen, 600, count=8, stature=1.65, time_scale=1.0)
    height = reference(subject, 1.0).descriptors["height"]
    assert height.usable is usable
    assert height.value == pytest.approx(1 - crouch / LEG, abs=0.03)
    assert usable or "upright" in height.why


OTHER = {"left": "right", "right": "left"}


def behind(track, straighter, far):
    """The track with the far knee drawn so much nearer to the line from hip to ankle."""
    points, (hip, knee, ankle) = (
        track.points.copy(),
        (track.names.index(f"{far}_{n}") for n in ("hip", "knee", "ankle")),
    )
    points[:, knee] += straighter * ((points[:, hip] + points[:, ankle]) / 2 - points[:, knee])
    return replace(track, points=points)


STIFF, SPARED = {"knee_skew", "thigh_skew"}, {"duty_skew"}


@pytest.mark.parametrize("near, far, turn", [("right", "left", 1), ("left", "right", -1)])
@pytest.mark.parametrize("make, limps", [
    (lambda far: walker(fps=30), set()),
    # As the pose model draws a healthy walker, and one who hardly bends the knees.
    (lambda far: behind(walker(fps=30, lift=0.25), 0.7, far), set()),
    (lambda far: behind(walker(fps=30, lift=0.02, crouch=0.12, speed=0.6), 0.95, far), set()),
    (lambda far: behind(walker(fps=30), 0.95, far), STIFF),
    (lambda far: behind(walker(fps=30), 0.95, OTHER[far]), STIFF),
    (lambda far: behind(walker(fps=30, duty=0.65, spare=0.2), 0.3, far), SPARED),
    (lambda far: walker(fps=30, duty=0.45, spare=0.25, lag=0.0, bob=0.1), set()),  # leaps
])  # fmt: skip
def test_a_limp_is_told_from_the_pose_models_error_of_the_leg_behind(make, limps, near, far, turn):
    track = make(far)
    seen = seen_from(track, turn)
    motion = reference(from_points(seen, 600, count=8, stature=1.65, time_scale=1.0), 1.0)
    shown = motion.descriptors
    assert {n for n in SKEWS if shown[n].usable} == limps
    assert alternate(motion) is (not limps and shown["lag"].value > 0.4)
    bends = {side: abs(np.ptp(flexion(track, side))) for side in OTHER}
    if limps == STIFF:
        right, left = bends["right"], bends["left"]
        assert shown["knee"].value == pytest.approx((right + left) / 2, abs=8)
        assert shown["knee_skew"].value == pytest.approx((right - left) / 2, abs=5)
    else:
        assert shown["knee"].value == pytest.approx(bends[near], rel=0.11)
    if limps == SPARED:
        assert shown["duty"].value == pytest.approx(0.55, abs=0.04)
        assert shown["duty_skew"].value == pytest.approx(0.1, abs=0.02)
    assert ("means of both legs" in motion.notes[0]) is (limps == STIFF)


@pytest.fixture(scope="module")
def walk():
    return measure(real("human_walk_side.mp4"), PoseModel(weights()), WISH, quiet)


def test_the_walk_clip_measures_as_known(walk):
    """Figures measured by hand on this clip: see the README beside it."""
    m = reference(walk.subject, 1.0)
    d = m.descriptors
    leg = 0.53 * 1.65
    assert m.subject == "person" and m.period.value == pytest.approx(1.22, abs=0.05)
    assert 120 / m.period.value == pytest.approx(98, abs=4)
    assert d["speed"].value * np.sqrt(9.81 * leg) / 1.65 == pytest.approx(0.76, abs=0.03)
    assert d["step"].value * 0.53 == pytest.approx(0.44, abs=0.02)
    assert d["airborne"].value < 0.03 and d["lag"].value == pytest.approx(0.5, abs=0.08)
    assert d["duty"].value == pytest.approx(0.6, abs=0.05)
    assert 45 < d["knee"].value < 70
    assert {n for n in d if not d[n].usable} == {"lean", "sway", "height", *SKEWS}
    assert d["height"].value == pytest.approx(0.95, abs=0.03)
    assert all(d[n].uncertainty < 0.15 * d[n].value for n in ("speed", "cadence", "step", "knee"))
    assert walk.subject.flip and "left side" in m.notes[0]


def test_the_tiles_of_the_walk_run_through_one_cycle(walk):
    times = [p.time for p in walk.subject.picks]
    assert len(walk.tiles) == 8
    assert np.diff(times) == pytest.approx(1.22 / 8, abs=0.035)
    assert all(40 < t.height < t.image.shape[0] for t in walk.tiles)


def test_a_moving_camera_changes_little(walk, tmp_path):
    """The same clip through a window that pans against the walk."""
    images = [f.image for f in frames(real("human_walk_side.mp4"))]
    window = 560
    last = len(images) - 1
    panned = [image[:, round(208 * (1 - i / last)) :][:, :window] for i, image in enumerate(images)]
    path = tmp_path / "pan.mp4"
    path.write_bytes(encode_mp4(panned, 30.0, quality=18))
    panned = measure(path, PoseModel(weights()), WISH, quiet)
    got, still = (reference(x.subject, 1.0).descriptors for x in (panned, walk))
    assert got["speed"].value == pytest.approx(still["speed"].value, rel=0.06)
    assert got["step"].value == pytest.approx(still["step"].value, rel=0.06)


def test_the_best_shot_of_four_is_the_walk_and_a_shot_can_be_asked_for():
    model, path = PoseModel(weights()), real("four_shots.mp4")
    free = measure(path, model, WISH, quiet)
    assert free.chosen == 1 and isinstance(free.subject, Person)
    asked = measure(path, model, replace(WISH, shot=0), quiet)
    assert asked.chosen == 0 and isinstance(asked.subject, Silhouette)
    with pytest.raises(VideoError, match="expected 0 to 3"):
        measure(path, model, replace(WISH, shot=4), quiet)


def test_the_person_pointed_at_is_followed():
    """A man stands on a box, small and high up, while a woman walks by; he never has a gait."""
    model, path = PoseModel(weights()), real("two_people_occlusion.mp4")
    woman = measure(path, model, replace(WISH, at=(0.7, 0.8)), quiet).subject
    man = measure(path, model, replace(WISH, at=(0.36, 0.25)), quiet).subject
    assert woman.period.value == pytest.approx(1.22, abs=0.05)
    assert man.period is None and man.track.seconds > 1.5
    assert all(p.ground > 0.85 for p in woman.places)
    assert all(p.ground < 0.55 for p in man.places)
    assert not any(
        d.usable for d in reference(man, 1.0).descriptors.values() if d.unit == "degrees"
    )


def test_a_film_without_a_subject_is_refused(tmp_path):
    path = tmp_path / "empty.mp4"
    path.write_bytes(encode_mp4([scenery(180, 320)] * 60, 30.0))
    with pytest.raises(VideoError, match="no subject"):
        measure(path, PoseModel(weights()), WISH, quiet)


def run_stage(video, out, *more):
    command = [
        sys.executable, "-m", "stages.keyframes", "--video", str(video),
        "--weights", str(out.parent / "pose"), "--out", str(out), "--shot", "auto",
        "--subject", "auto", "--tiles", "8", "--stature", "1.65", "--time_scale", "None", *more,
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=out.parent, env=env, capture_output=True, text=True)


@pytest.fixture
def pose_folder(tmp_path):
    with files.new_folder(tmp_path / "pose") as new:
        for name in ("pose_detection.tflite", "pose_landmark_full.tflite"):
            (new / name).write_bytes((weights() / name).read_bytes())
    return tmp_path / "pose"


def test_the_stage_writes_five_files_with_the_same_bytes_again(tmp_path, pose_folder):
    video = real("horse_gallop_muybridge.mp4")
    for name in ("a", "b"):
        done = run_stage(video, tmp_path / name)
        assert done.returncode == 0, done.stderr
    names = {"sheet.jpg", "motion.json", "track.npz", "shots.json", "tiles.json", files.SUMS}
    assert {p.name for p in (tmp_path / "a").iterdir()} == names
    assert files.digest(tmp_path / "a") == files.digest(tmp_path / "b")
    motion = json.loads((tmp_path / "a/motion.json").read_text())
    assert motion["time_scale"] is None and motion["period_s"]["value"] == pytest.approx(
        1.501, 0.01
    )
    tiles = json.loads((tmp_path / "a/tiles.json").read_text())
    assert [t["tile"] for t in tiles] == list(range(1, 9))
    assert cv2.imread(str(tmp_path / "a/sheet.jpg")).shape == (448, 896, 3)


def test_a_bad_video_stops_the_stage_in_one_line_with_code_three(tmp_path, pose_folder):
    (tmp_path / "bad.mp4").write_text("nothing")
    done = run_stage(tmp_path / "bad.mp4", tmp_path / "out")
    lines = [x for x in done.stderr.splitlines() if x.startswith("reelward")]
    assert done.returncode == 3 and len(lines) == 1 and "bad.mp4" in lines[0]
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "key, value",
    [("shot", -1), ("shot", "last"), ("subject", "left"), ("subject", "1.2,0.5"), ("tiles", 2),
     ("stature", 0.0), ("time_scale", 0.0)],
)  # fmt: skip
def test_wrong_params_are_named(key, value):
    told = validate(keyframes_stage.Args, {key: value})
    assert len(told) == 1 and key in told[0]


@pytest.mark.parametrize(
    "key, value",
    [("shot", "auto"), ("shot", 3), ("subject", "auto"), ("subject", "0.25,.5"), ("tiles", 8),
     ("time_scale", None), ("time_scale", 0.25)],
)  # fmt: skip
def test_right_params_pass(key, value):
    assert validate(keyframes_stage.Args, {key: value}) == []
