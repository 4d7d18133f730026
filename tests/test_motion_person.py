"""A person on video: the camera, the track, and what a view can give."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from clips import scenery
from skeleton import LEG, walker

from reelward.measures.descriptors import SKEWS
from reelward.measures.gait import alternate
from reelward.measures.reference import BACKWARDS, distrust, limping, reference
from reelward.motion import person
from reelward.motion.camera import Camera, moved
from reelward.motion.pose import NAMES
from reelward.motion.record import Descriptor
from reelward.motion.signals import flexion
from reelward.motion.subject import from_points


def test_a_pan_is_measured_while_the_subject_walks():
    world = scenery(200, 1000)
    camera, errors = Camera(), []
    for i in range(60):
        x = 5 * i
        image = world[:, x : x + 400].copy()
        image[60:180, 100 + 3 * i : 160 + 3 * i] = (250, 20, 20)
        view = camera.step(image, (100 + 3 * i, 60, 160 + 3 * i, 180))
        errors.append(np.linalg.norm(moved(view, np.array([[200.0, 100.0]])) - [[200 + x, 100]]))
    assert max(errors) < 2.0 and camera.known_fraction == 1.0


def test_the_camera_is_unknown_before_a_bare_wall():
    camera = Camera()
    for _ in range(10):
        view = camera.step(np.full((120, 160, 3), 200, np.uint8), None)
    assert camera.known_fraction == 0.0 and np.array_equal(view, np.eye(3))


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
def test_the_track_looks_forward_and_names_the_near_leg(turn, near):
    track, turned = person.to_track(seen_from(walker(fps=30), turn))
    assert turned == (turn < 0)
    assert track.centre[-1, 0] > track.centre[0, 0]
    assert person.near_leg(track, turned) == near
    scale = person.scale_of(track, 1.65, 1.0)
    assert scale.leg == pytest.approx(100 * LEG, rel=0.03)
    assert scale.metres == pytest.approx(0.8745)


@pytest.mark.parametrize("turn", [1, -1])
def test_walking_backwards_has_a_negative_speed(turn):
    film = seen_from(walker(fps=30), turn)
    track, turned = person.to_track(replace(film, points=film.points[::-1]))
    assert turned == (turn < 0)
    assert track.centre[-1, 0] < track.centre[0, 0]
    reverse = replace(film, points=film.points[::-1])
    for points, backwards in ((reverse, True), (film, False)):
        subject = from_points(points, 600, count=8, stature=1.65, time_scale=1.0)
        motion = reference(subject, 1.0)
        assert (motion.descriptors["speed"].value < 0) is backwards
        assert (BACKWARDS in motion.notes) is backwards


def rotated(seen, degrees):
    """The same points in a picture that is turned clockwise by `degrees [T]` or one number."""
    angle = np.radians(np.broadcast_to(degrees, len(seen.times)))
    turn = np.moveaxis([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], 2, 0)
    return replace(seen, points=np.einsum("tij,tkj->tki", turn, seen.points - 300) + 300)


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("degrees", [90, 180, 270, 60, -60])
def test_a_film_that_is_not_upright_is_refused(degrees, turn):
    seen = rotated(seen_from(walker(fps=30, lean=0.0, sway=0.0), turn), degrees)
    with pytest.raises(person.NotUpright, match="turn the film upright") as error:
        from_points(seen, 600, count=8, stature=1.65, time_scale=1.0)
    angle = min(degrees % 360, -degrees % 360)
    assert f"turned by {angle} degrees in 100 % of the pictures" in str(error.value)


@pytest.mark.parametrize("part, refused", [(0.1, False), (0.4, True)])
def test_a_body_that_falls_has_no_gait(part, refused):
    seen = seen_from(walker(fps=30), 1)
    lies = np.where(np.linspace(0, 1, len(seen.times)) > 1 - part, 85.0, 0.0)
    with pytest.raises(person.NotUpright, match="falls") if refused else nullcontext():
        from_points(rotated(seen, lies), 600, count=8, stature=1.65, time_scale=1.0)


def test_the_toes_tell_forward_on_the_spot():
    track, turned = person.to_track(seen_from(walker(speed=0.0, lift=0.15), -1))
    assert turned and person.facing(track) > 0


def test_each_shortcoming_of_a_view_makes_its_descriptors_unusable():
    seen = from_points(seen_from(walker(fps=30), 1), 600, count=8, stature=1.65, time_scale=1.0)
    always = set(distrust(seen))
    assert {"lean", "sway"} <= always and not {"speed", "step", "knee"} & always
    assert set(distrust(replace(seen, ground=None))) - always == {"speed"}
    hidden = seen.track.confidence * (np.array(seen.track.names) != "left_ankle")
    doubts = distrust(replace(seen, track=replace(seen.track, confidence=hidden)))
    assert set(doubts) - always == {"step", "lag", "airborne"}
    points = seen.track.points.copy()
    points[:, NAMES.index("right_shoulder"), 0] += 30
    doubts = distrust(replace(seen, track=replace(seen.track, points=points)))
    assert {"speed", "step", "knee", "duty", "lag"} <= set(doubts)
    assert not {"cadence", "bob"} & set(doubts)


@pytest.mark.parametrize("crouch, usable", [(0.05, False), (0.2, True)])
def test_the_hips_height_counts_only_beyond_the_pose_models_error(crouch, usable):
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
def test_a_limp_is_distinguished_from_the_pose_models_error_of_the_far_leg(
    make, limps, near, far, turn
):
    track = make(far)
    seen = seen_from(track, turn)
    motion = reference(from_points(seen, 600, count=8, stature=1.65, time_scale=1.0), 1.0)
    figures = motion.descriptors
    assert {n for n in SKEWS if figures[n].usable} == limps
    assert alternate(motion) is (not limps and figures["lag"].value > 0.4)
    bends = {side: abs(np.ptp(flexion(track, side))) for side in OTHER}
    if limps == STIFF:
        right, left = bends["right"], bends["left"]
        assert figures["knee"].value == pytest.approx((right + left) / 2, abs=8)
        assert figures["knee_skew"].value == pytest.approx((right - left) / 2, abs=5)
    else:
        assert figures["knee"].value == pytest.approx(bends[near], rel=0.11)
    if limps == SPARED:
        assert figures["duty"].value == pytest.approx(0.55, abs=0.04)
        assert figures["duty_skew"].value == pytest.approx(0.1, abs=0.02)
    assert ("means of both legs" in motion.notes[0]) is (limps == STIFF)


@pytest.mark.parametrize("stance, bend, limps", [
    ((-0.0946, 0.0811), (19.3, 8.9), set()),  # a healthy walker who is occluded for a while
    ((-0.0946, 0.025), (-8.0, 8.9), SPARED),
    ((0.08, 0.03), (0.0, 3.0), set()),
    ((0.12, 0.03), (0.0, 3.0), SPARED),
    ((0.1, 0.06), (33.0, 12.0), STIFF),
    ((0.0, 0.05), (33.0, 12.0), set()),
    ((0.0, 0.05), (33.0, 10.0), STIFF),
    ((0.1, 0.04), (33.0, 12.0), STIFF | SPARED),  # each unsure, but they agree
    ((-0.1, 0.04), (33.0, 12.0), set()),  # the stiff leg stands longer
])  # fmt: skip
def test_a_limp_needs_evidence(stance, bend, limps):
    """Value and uncertainty of the skews; the near leg is the right one and bends by 65 degrees."""
    values = {"knee": (65.0, 3.0), "lag": (0.49, 0.01), "duty_skew": stance, "knee_skew": bend}
    figures = {n: Descriptor(value, "", error, True) for n, (value, error) in values.items()}
    assert limping(figures, "right") == limps


@pytest.mark.parametrize("camera", [1.0, 0.0])
@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("gait", [
    {}, {"speed": 0.6, "crouch": 0.12}, {"noise": 0.01},
    {"speed": 2.0, "duty": 0.4, "crouch": 0.35, "period": 0.8},
])  # fmt: skip
def test_a_walker_in_place_has_the_figures_of_one_who_travels(camera, turn, gait):
    """On a treadmill before a wall (camera known), or with a camera that follows before a bare wall."""
    track = walker(fps=30, **gait)
    place = replace(track, points=track.points - track.centre[:, None] * [1, 0])
    motions = [
        reference(
            from_points(
                replace(seen_from(t, turn), camera=known),
                600,
                count=8,
                stature=1.65,
                time_scale=1.0,
            ),
            1.0,
        )
        for t, known in ((track, 1.0), (place, camera))
    ]
    travels, stays = (m.descriptors for m in motions)
    speed, expected = stays["speed"], travels["speed"]
    assert speed.usable and abs(speed.value - expected.value) < 1.5 * speed.uncertainty
    assert speed.value == pytest.approx(expected.value, rel=0.1)
    for name in ("duty", "airborne"):
        assert stays[name].value == pytest.approx(travels[name].value, abs=0.06)
    assert any("ground moves" in n for n in motions[1].notes)
    assert not any("ground moves" in n for n in motions[0].notes)


def test_steps_on_the_spot_have_no_speed():
    subject = from_points(
        seen_from(walker(fps=30, speed=0.0, lift=0.15), 1), 600, count=8, stature=1.65, time_scale=1.0
    )  # fmt: skip
    motion = reference(subject, 1.0)
    assert motion.descriptors["speed"].value == pytest.approx(0.0, abs=0.01)
    assert not any("ground moves" in n for n in motion.notes)


def test_feet_that_agree_on_no_speed_leave_it_unknown():
    """Feet that tremble by the tenth of a leg say nothing of the ground before a bare wall."""
    trembling = replace(seen_from(walker(fps=30, noise=0.1), 1), camera=0.0)
    subject = from_points(trembling, 600, count=8, stature=1.65, time_scale=1.0)
    speed = reference(subject, 1.0).descriptors["speed"]
    assert not speed.usable and "neither the background nor the feet" in speed.why


@pytest.mark.parametrize("growth", [0.6, 0.9, 1.1, 1.25, 1.5, 2.0])
def test_a_walker_who_comes_nearer_has_no_false_figure(growth):
    """The body grows in the picture about a horizon; what that spoils is unusable or uncertain."""
    plain = seen_from(walker(fps=30), 1)
    size = np.linspace(1, growth, len(plain.points))[:, None, None]
    nearer = replace(plain, points=(plain.points - [600, 0]) * size + [600, 0])
    truth, got = (
        reference(from_points(s, 600, count=8, stature=1.65, time_scale=1.0), 1.0).descriptors
        for s in (plain, nearer)
    )
    assert {"cadence", "step", "knee"} <= {n for n in got if got[n].usable}
    for name in (n for n in got if got[n].usable):
        error = 2 * got[name].uncertainty + 0.02 * abs(truth[name].value)
        assert got[name].value == pytest.approx(truth[name].value, abs=error), name
