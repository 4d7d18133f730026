"""The report's films, stick figures and plots: every number here is known by hand."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_study import Page, Study, finished_study, motion_in, person_motion
from skeleton import LEG, walker

from reelward.measures.describe import robot_motion
from reelward.motion.course import Course
from reelward.motion.figure import UNIT, stick_figure
from reelward.motion.track import Track
from reelward.pages.films import whole_stride
from reelward.pages.plots import cycle_plots, learning_curves


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return finished_study(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def page(finished: Study) -> Page:
    return finished.report()


def test_legs_are_drawn_from_their_own_landing(finished: Study, page: Page) -> None:
    wave = (10.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # mean 10, amplitude 20: from -10 to 30
    course = Course(0.0, 0.6, wave, wave, wave)
    motion = replace(motion_in(finished.data / "expert/keyframes"), courses={"left": course})
    later = replace(motion, courses={"right": course, "left": course.later(0.5)})
    thigh, knee, hip = cycle_plots(motion, later)
    assert [p.title for p in (thigh, knee, hip)] == ["left thigh", "left knee", "hip"]
    assert (hip.low, hip.high) == pytest.approx((-1000, 3000)) and hip.unit == "% of the leg"
    assert (thigh.low, thigh.high) == pytest.approx((-10, 30))
    assert thigh.lines["expert"] == thigh.lines["learner"]
    start, *_, middle = thigh.lines["expert"].split()[:26]
    assert start == "0.0,0.0"  # highest at the landing
    assert middle == "100.0,48.0"  # lowest half a cycle later
    limp = replace(motion, courses={"right": course, "left": course.later(0.4)})
    assert [p.title for p in cycle_plots(limp, limp)].count("hip") == 1
    assert cycle_plots(motion, replace(motion, courses={}))[0].lines.keys() == {"expert"}
    assert "Through the cycle" in page.words


def test_curves_leave_out_what_is_not_a_number(finished: Study) -> None:
    steps, plots = learning_curves(finished.data / "iterations/iter-00/policies/c0.csv")
    returns, length, speed = plots
    assert steps == 3000
    assert [p.title for p in plots] == ["return", "episode length", "speed"]
    assert [p.note for p in plots] == ["", "steps", "a step"]
    # The first row has no return; 10 at 2,000 env-steps is the lowest, 30 at 3,000 the highest.
    assert returns.lines["learner"].split()[0] == "133.3,48.0"
    assert returns.lines["learner"].split()[-1] == "200.0,0.0"
    assert (length.low, length.high, speed.last) == (50, 90, 0.4)


def test_the_last_stride_that_is_whole_in_a_film() -> None:
    assert whole_stride([0.2, 1.4, 2.6, 3.8], 1.2, 4.5) == 2.6
    assert whole_stride([-0.1, 0.5], 1.2, 1.3) is None


def test_slow_motion_plays_as_fast_as_the_world(tmp_path: Path) -> None:
    study = Study(tmp_path)
    track = walker(seconds=5)  # five seconds of film are one second of the world
    motion = person_motion(track, time_scale=0.2)
    assert motion.period
    real = replace(motion.period, value=motion.period.value * 0.2)
    study.expert(track, replace(motion, period=real))
    study.iteration("seed", {"c0": {"speed": 1.1}})
    film = study.report().films["expert"]
    assert film["rate"] == 5.0
    assert film["period"] == pytest.approx(1.2, abs=0.02)


def test_the_experts_figure_begins_where_its_first_tile_says(page: Page) -> None:
    # One tile of a walk: the landing at which its best cycle begins, 0.1 s into the film.
    film = page.films["expert"]
    strides = (film["start"] - 0.1) / film["period"]
    assert strides == pytest.approx(round(strides), abs=0.06)


def test_an_outline_has_no_stick_figure(tmp_path: Path) -> None:
    study = Study(tmp_path)
    t = np.arange(150) / 30
    names = ("lowest", "highest", "rightmost", "leftmost")
    points = np.zeros((150, 4, 2), np.float32)
    points[:, :, 1] = [0, 1, 0.5, 0.5]
    points[:, :, 0] = np.sin(2 * np.pi * t)[:, None] * [0, 0, 1, -1]
    track = Track(points, np.ones((150, 4), np.float32), 30.0, names)
    motion = replace(robot_motion(track, "x", 1.0, 1.0), subject="silhouette", leg_length_m=None)
    study.expert(track, motion)
    study.iteration("seed", {"c0": {"speed": 1.1}})
    page = study.report()
    assert page.films["expert"]["figure"] is None
    assert page.films["iter-00"]["figure"]["frames"]
    assert "not counted: the body lacks the points for it" in page.words
    assert page.films["expert"]["period"] == pytest.approx(1.0, abs=0.02)


def test_a_stick_figure_stands_on_the_ground_and_keeps_its_hip() -> None:
    track = walker(seconds=3, crouch=0.2, bob=0.0)
    figure = stick_figure(track, LEG, 1.2, 2.0)
    assert figure
    frames = np.array(figure["frames"]).reshape(50, -1, 2) / UNIT
    hip = track.names.index("hip")
    assert len(figure["frames"]) == 50 and figure["fps"] == 25
    assert np.abs(frames[:, hip, 0]).max() == 0
    assert frames[:, hip, 1] == pytest.approx((LEG - 0.2) / LEG, abs=0.02)
    assert frames[..., 1].min() == pytest.approx(0, abs=0.03)
    joined = {(track.names[a], track.names[b], side) for a, b, side in figure["bones"]}
    assert {("right_hip", "right_knee", 1), ("left_hip", "left_knee", 2)} <= joined
    assert ("shoulder", "hip", 0) in joined
    pixels = stick_figure(replace(track, points=track.points * 311), LEG * 311, 1.2, 2.0)
    assert pixels and np.allclose(pixels["frames"], figure["frames"], atol=1)


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_shows_the_iteration_of_the_address(finished: Study, page: Page) -> None:
    address = f"file://{page.folder}/index.html#iter-00"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--dump-dom"]
    flags += [f"--user-data-dir={finished.root}/browser", "--virtual-time-budget=2000"]
    done = subprocess.run(["chromium", *flags, address], capture_output=True, text=True, timeout=60)
    dump = finished.root / "report/dump.html"
    dump.write_text(done.stdout)
    elements = [attributes for _, attributes in Page(dump).elements]
    visible = {a["data-iteration"] for a in elements if "data-iteration" in a and "hidden" not in a}
    assert visible == {"iter-00"}
    assert [a["data-film"] for a in elements if a.get("data-role") == "learner"] == ["iter-00"]
    pressed = [a["data-pick"] for a in elements if "data-pick" in a and a["aria-pressed"] == "true"]
    assert pressed == ["iter-00"]
