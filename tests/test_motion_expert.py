"""The expert: outlines, real clips, and the stage keyframes."""

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

from reelward.measures.descriptors import SKEWS
from reelward.measures.reference import reference
from reelward.motion.expert import Wish, measure
from reelward.motion.pose import PoseModel
from reelward.motion.record import from_json
from reelward.motion.subject import Person, Silhouette, follow_outline
from reelward.motion.video import Frame, VideoError, encode_mp4, frames
from reelward.records import ExpertGait
from reelward.runtime import files
from reelward.runtime.validation import validate
from stages import fetch
from stages import keyframes as keyframes_stage

WISH = Wish(shot=None, at=None, tiles=8, stature=1.65, time_scale=1.0)


@contextmanager
def quiet(total, what):
    yield SimpleNamespace(advance=lambda n=1: None)


def beasts(flight, cycle=15, count=60, hold=2, fps=24.0):
    """A looped film of `cycle` pictures, each held for `hold` frames."""
    return [Frame(i, i / fps, beast((i // hold) / cycle, flight)) for i in range(count * hold)]


@pytest.mark.parametrize("flight", [0.0, 0.25, 0.5])
def test_an_outline_gives_the_period_and_the_time_in_the_air(flight):
    got = reference(follow_outline(beasts(flight), count=8), None)
    assert got.subject == "silhouette"
    assert got.period.value == pytest.approx(15 * 2 / 24, rel=0.01)
    air = got.descriptors["airborne"]
    assert air.usable and air.value == pytest.approx(flight, abs=1 / 15)
    assert not any(d.usable for n, d in got.descriptors.items() if n != "airborne")
    assert got.duplicates_dropped == 60
    assert any("time scale" in n for n in got.notes)


def test_pictures_without_a_clear_outline_are_refused():
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


def test_the_horse_clip_has_its_known_period_and_flight():
    path = real("horse_gallop_muybridge.mp4")
    got = reference(follow_outline(frames(path, side=320), count=8), None)
    assert got.period.value == pytest.approx(1.501, abs=0.005)
    assert got.descriptors["airborne"].value == pytest.approx(0.22, abs=0.03)


@pytest.fixture(scope="module")
def walk():
    return measure(real("human_walk_side.mp4"), PoseModel(weights()), WISH, quiet)


def test_the_walk_clip_has_its_known_figures(walk):
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


def test_the_tiles_of_the_walk_show_one_cycle(walk):
    times = [p.time for p in walk.subject.picks]
    assert len(walk.tiles) == 8
    assert np.diff(times) == pytest.approx(1.22 / 8, abs=0.035)
    assert all(t.place and 40 < t.place.height < t.image.shape[0] for t in walk.tiles)


def test_a_moving_camera_changes_the_figures_little(walk, tmp_path):
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


def test_a_shot_that_is_not_upright_is_left_out(tmp_path):
    """The clip turned upside down, and after it as it is."""
    images = [f.image for f in frames(real("human_walk_side.mp4"))]
    path = tmp_path / "turned.mp4"
    path.write_bytes(encode_mp4([i[::-1, ::-1] for i in images[:40]] + images[:45], 30.0, 18))
    model = PoseModel(weights())
    assert measure(path, model, WISH, quiet).chosen == 1
    with pytest.raises(VideoError, match=r"turned\.mp4: .* turned by 17\d degrees"):
        measure(path, model, replace(WISH, shot=0), quiet)


@pytest.mark.parametrize("shots, wish, words", [
    (1, None, "the video lasts 0.80 s"),
    (3, None, "the longest one lasts 0.93 s"),
    (3, 0, "shot 0 lasts 0.80 s"),
])  # fmt: skip
def test_a_clip_that_is_too_short_is_named_so(tmp_path, shots, wish, words):
    path, images = tmp_path / "short.mp4", []
    for k, count in enumerate((24, 28, 20)[:shots]):
        images += [scenery(96, 160, seed=k) // (k + 1)] * count
    path.write_bytes(encode_mp4(images, 30.0, quality=10))
    with pytest.raises(VideoError, match=f"longer than 1 s, {words}"):
        measure(path, PoseModel(weights()), replace(WISH, shot=wish), quiet)


def test_a_treadmill_changes_the_figures_little(walk, tmp_path):
    """The woman of the same clip, cut out and put before a still picture, where she stays in the middle."""
    wall, images = scenery(280, 400, seed=3), []
    for f in frames(real("human_walk_side.mp4")):
        middle = 240 + round(740.4 - 5.015 * f.index)  # of her hip
        wide = np.pad(f.image, ((0, 0), (240, 240), (0, 0)), mode="edge")
        images.append(wall.copy())
        images[-1][:, 130:270] = wide[:, middle - 70 : middle + 70]
    path = tmp_path / "treadmill.mp4"
    path.write_bytes(encode_mp4(images, 30.0, quality=18))
    motion = reference(measure(path, PoseModel(weights()), WISH, quiet).subject, 1.0)
    got, still = motion.descriptors, reference(walk.subject, 1.0).descriptors
    for name, error in (("speed", 0.08), ("step", 0.06), ("duty", 0.2), ("cadence", 0.03)):
        assert got[name].usable and got[name].value == pytest.approx(still[name].value, rel=error)
    assert got["airborne"].value < 0.1
    assert any("the ground moves under the feet" in n for n in motion.notes)


def test_what_was_followed_lies_on_the_body(walk):
    """The lines of each tile go from head to feet and lie within the body's height."""
    for tile in walk.tiles:
        points = np.concatenate([s.points for s in tile.strokes])
        place = tile.place
        assert {s.side for s in tile.strokes} == {0, 1, 2}
        assert place.ground - points[:, 1].max() < 0.1 * place.height
        assert np.ptp(points[:, 1]) > 0.8 * place.height
        assert abs(points[:, 0].mean() - place.centre) < 0.2 * place.height


def test_the_best_shot_is_chosen_unless_one_is_asked_for():
    model, path = PoseModel(weights()), real("four_shots.mp4")
    free = measure(path, model, WISH, quiet)
    assert free.chosen == 1 and isinstance(free.subject, Person)
    asked = measure(path, model, replace(WISH, shot=0), quiet)
    assert asked.chosen == 0 and isinstance(asked.subject, Silhouette)
    with pytest.raises(VideoError, match="expected 0 to 3"):
        measure(path, model, replace(WISH, shot=4), quiet)


def test_the_person_at_the_given_place_is_followed():
    """A man stands on a box, small and high up, while a woman walks by; he never has a gait."""
    model, path = PoseModel(weights()), real("two_people_occlusion.mp4")
    woman = measure(path, model, replace(WISH, at=(0.7, 0.8)), quiet).subject
    man = measure(path, model, replace(WISH, at=(0.36, 0.25)), quiet).subject
    assert woman.period.value == pytest.approx(1.22, abs=0.05)
    assert man.period is None and man.track.seconds > 1.5
    assert all(p.ground > 0.85 for p in woman.places)
    assert all(p.ground < 0.55 for p in man.places)
    figures = reference(man, 1.0).descriptors
    assert not any(d.usable for d in figures.values() if d.unit == "degrees")
    assert not figures["airborne"].usable and "no rhythm" in figures["airborne"].why


def test_the_cycles_of_a_shot_are_counted_in_the_videos_own_time(tmp_path):
    """Four cycles of 1.25 s, played four times as fast as the world: two of them are enough."""
    path = tmp_path / "beast.mp4"
    path.write_bytes(encode_mp4([f.image for f in beasts(0.25)], 24.0, quality=18))
    expert = measure(path, PoseModel(weights()), replace(WISH, time_scale=4.0), quiet)
    assert expert.ranks[0].parts["cycles"] == 1.0
    assert reference(expert.subject, 4.0).period.value == pytest.approx(5.0, rel=0.01)


@pytest.mark.parametrize("count", [1, 7])
def test_a_film_of_a_few_frames_is_refused(tmp_path, count):
    path = tmp_path / "short.mp4"
    path.write_bytes(encode_mp4([scenery(180, 320)] * count, 30.0))
    with pytest.raises(VideoError, match=f"at least 8 frames, got {count}"):
        measure(path, PoseModel(weights()), WISH, quiet)


def test_a_video_without_a_subject_is_refused(tmp_path):
    path = tmp_path / "empty.mp4"
    path.write_bytes(encode_mp4([scenery(180, 320)] * 60, 30.0))
    with pytest.raises(VideoError, match="no subject"):
        measure(path, PoseModel(weights()), WISH, quiet)


def run_stage(video, out, *more):
    command = [
        sys.executable, "-m", "stages.keyframes", "--video", str(video),
        "--weights", str(out.parent / "pose"), "--out", str(out), "--shot", "auto",
        "--subject", "auto", "--tiles", "8", "--stature", "1.65", "--time_scale", "None",
        "--measure", str(ROOT / "params.yaml"), *more,
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=out.parent, env=env, capture_output=True, text=True)


@pytest.fixture
def pose_folder(tmp_path):
    with files.new_folder(tmp_path / "pose") as new:
        for name in ("pose_detection.tflite", "pose_landmark_full.tflite"):
            (new / name).write_bytes((weights() / name).read_bytes())
    return tmp_path / "pose"


def test_the_stage_is_reproducible(tmp_path, pose_folder):
    video = real("horse_gallop_muybridge.mp4")
    for name in ("a", "b"):
        done = run_stage(video, tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert "figures are usable: " in done.stderr
    figures = {"motion.json", "gait.json", "shots.json", "tiles.json"}
    names = {"sheet.jpg", "followed.jpg", "track.npz", *figures, files.SUMS}
    assert {p.name for p in (tmp_path / "a").iterdir()} == names
    assert files.digest(tmp_path / "a") == files.digest(tmp_path / "b")
    motion = json.loads((tmp_path / "a/motion.json").read_text())
    assert motion["time_scale"] is None and motion["period_s"]["value"] == pytest.approx(
        1.501, 0.01
    )
    tiles = json.loads((tmp_path / "a/tiles.json").read_text())
    assert [t["tile"] for t in tiles] == list(range(1, 9))
    assert cv2.imread(str(tmp_path / "a/sheet.jpg")).shape == (448, 896, 3)


def test_without_a_video_no_expert_is_known(tmp_path, pose_folder):
    """An empty file, as the stage fetch writes it without a source."""
    options = {
        "end": None,
        "crop": None,
        "licence": None,
        "sha256": None,
        "start": 0.0,
        "max_mb": 1,
    }
    fetch.main(fetch.Args(tmp_path / "video.mp4", tmp_path / "provenance.json", None, **options))
    assert files.read_json(tmp_path / "provenance.json")["video"] is None
    assert run_stage(tmp_path / "video.mp4", tmp_path / "out").returncode == 0
    motion = from_json(files.read_json(tmp_path / "out/motion.json"))
    assert motion.subject == "none" and not motion.courses
    assert not any(d.usable for d in motion.descriptors.values())
    assert files.read_record(tmp_path / "out/gait.json", ExpertGait).alternate
    assert files.read_json(tmp_path / "out/tiles.json") == []
    assert not (tmp_path / "out/sheet.jpg").exists()


def test_a_bad_video_ends_the_stage_in_one_line_with_code_three(tmp_path, pose_folder):
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
def test_a_wrong_setting_is_named(key, value):
    errors = validate(keyframes_stage.Args, {key: value})
    assert len(errors) == 1 and key in errors[0]


@pytest.mark.parametrize(
    "key, value",
    [("shot", "auto"), ("shot", 3), ("subject", "auto"), ("subject", "0.25,.5"), ("tiles", 8),
     ("time_scale", None), ("time_scale", 0.25)],
)  # fmt: skip
def test_a_right_setting_passes(key, value):
    assert validate(keyframes_stage.Args, {key: value}) == []
