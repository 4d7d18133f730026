"""The gait cycle of a track, its keyframes, and the contact sheet."""

from dataclasses import replace

import numpy as np
import pytest
from clips import scenery
from skeleton import LEG, walker

from reelward.motion.cycle import (
    best_cycle,
    by_energy,
    gait_period,
    gait_signal,
    keyframes,
    landings,
    period_of,
)
from reelward.motion.sheet import (
    SIZE,
    STROKES,
    Place,
    Stroke,
    Tile,
    ground_in_tile,
    ground_under,
    sheet,
)
from reelward.motion.track import Track


def test_a_wave_has_its_period_and_noise_has_none():
    t = np.arange(300) / 30
    wave = np.stack([np.sin(2 * np.pi * t / 1.1), 0.3 * np.sin(4 * np.pi * t / 1.1)], axis=1)
    assert period_of(wave + 0.2 * t[:, None], 30.0).value == pytest.approx(1.1, abs=0.01)
    noise = np.random.default_rng(0).normal(size=(300, 2))
    assert period_of(noise, 30.0) is None
    assert period_of(wave[:40], 30.0) is None  # fewer than two cycles
    assert period_of(np.zeros((300, 2)), 30.0) is None


def test_the_period_of_a_walk_is_a_whole_stride():
    assert gait_period(walker(), LEG).value == pytest.approx(1.2, abs=0.005)


def test_a_hop_with_a_stiff_leg_has_the_period_of_its_rise_and_fall():
    """A leg that swings by a tenth of its length, seen with errors of the same size."""
    rng, t = np.random.default_rng(1), np.arange(131) / 30
    wave = 2 * np.pi * t / 0.7
    hip = np.stack([1.0 * t, 0.15 * np.abs(np.sin(wave / 2))], axis=1)
    ankle = hip + np.stack([0.05 * np.sin(wave), -1.0 + 0.02 * np.cos(wave)], axis=1)
    seen = np.stack([hip, ankle + rng.normal(0.0, 0.06, ankle.shape)], axis=1)
    track = Track(seen.astype(np.float32), np.ones((131, 2)), 30.0, ("hip", "right_ankle"))
    assert gait_period(track, 1.0).value == pytest.approx(0.7, abs=0.02)


def test_keyframes_are_at_equal_phases_from_a_landing_of_the_first_leg():
    track = walker(fps=30)
    picks = keyframes(track, LEG, 8)
    assert np.diff([p.frame for p in picks]) == pytest.approx(1.2 * 30 / 8, abs=0.51)
    assert [p.phase for p in picks] == [i / 8 for i in range(8)]
    # The stick figure's right foot lands at whole multiples of its period.
    assert picks[0].time % 1.2 == pytest.approx(0, abs=0.05)


def test_the_most_regular_cycle_is_chosen():
    track = walker(fps=30, seconds=6.0)
    points = track.points.copy()
    points[:80] += np.random.default_rng(0).normal(0, 0.08, points[:80].shape)
    spoilt = replace(track, points=points)
    start = best_cycle(gait_signal(spoilt), 1.2, 30.0, landings(spoilt, 1.2))
    assert start >= 78


def test_without_a_period_keyframes_lie_where_the_body_moves():
    """Still for two seconds, then one move: the pictures lie in the move, in order."""
    still, move = np.zeros((60, 2)), np.linspace(0, 1, 30)[:, None] * [1.0, 0.5]
    picks = by_energy(np.concatenate([still, move]), 30.0, 8)
    frames_ = [p.frame for p in picks]
    assert frames_ == sorted(frames_) and sum(f >= 59 for f in frames_) >= 6
    assert all(p.phase is None for p in picks)


def test_a_tile_has_the_body_in_its_middle_on_the_ground_line():
    image = np.full((300, 500, 3), 128, np.uint8)
    image[100:200, 90:110] = (255, 0, 0)  # a body 100 high, its feet at 200, its middle at 100
    for flip in (False, True):
        drawn = sheet([Tile(image, 0.5, Place(100, 200, 100), 0.25, flip)])
        red = (drawn[..., 0] > 200) & (drawn[..., 1] < 80)
        ys, xs = np.nonzero(red[:, 20:-20])
        assert drawn.shape == (SIZE, SIZE, 3)
        assert xs.mean() + 20 == pytest.approx(SIZE / 2, abs=2)
        assert np.ptp(ys[np.abs(xs + 20 - SIZE / 2) < 4]) == pytest.approx(0.72 * SIZE, abs=3)
        assert ys.max() == pytest.approx(0.9 * SIZE, abs=2)


def test_a_sheet_has_four_columns_and_is_reproducible():
    tiles = [Tile(scenery(100, 100, i), i / 10, Place(50, 90, 80), i / 8) for i in range(8)]
    drawn = sheet(tiles)
    assert drawn.shape == (2 * SIZE, 4 * SIZE, 3)
    assert np.array_equal(drawn, sheet(tiles))
    assert sheet(tiles[:5]).shape == (2 * SIZE, 4 * SIZE, 3)


def test_the_ground_line_ignores_a_jump():
    lowest = np.full(60, 200.0)
    lowest[25:35] -= 40 * np.sin(np.linspace(0, np.pi, 10))
    assert ground_under(lowest, 20) == pytest.approx(np.full(60, 200.0), abs=1)


def test_what_was_followed_is_drawn_in_two_colours_on_any_background():
    """A leg from hip to foot at each side, on light and dark pictures, mirrored or not."""
    legs = [
        Stroke(1, np.array([[80, 100], [80, 190]])),
        Stroke(2, np.array([[120, 100], [120, 190]])),
    ]
    for grey in (0, 128, 255):
        image = np.full((200, 200, 3), grey, np.uint8)
        for flip in (False, True):
            tile = Tile(image, 0.5, Place(100, 200, 161), 0.25, flip, legs)
            plain, drawn = sheet([tile]), sheet([tile], strokes=True)
            assert np.array_equal(plain, sheet([replace(tile, strokes=())]))
            columns = [int(np.argmax((drawn[150] == colour).all(axis=1))) for colour in STROKES[1:]]
            assert columns == pytest.approx([132, 92] if flip else [92, 132], abs=2)
            for x in columns:
                assert (
                    drawn[150, x - 3 : x + 4].max(axis=0).max() - drawn[150, x - 3 : x + 4].min()
                    > 120
                )


def test_a_body_far_above_the_later_ground_stays_in_its_tile():
    """Someone stands 3 m up and jumps down; the body is 1.7 m tall."""
    lowest = np.concatenate([np.full(30, 100.0), np.full(70, 400.0)])
    ground = ground_under(lowest, 100)
    assert (ground == 400).all()
    raised = ground_in_tile(ground, lowest - 155, 170)
    assert raised[0] == pytest.approx(132) and raised[-1] == 400
    image = np.full((500, 300, 3), 255, np.uint8)
    image[0:100, 140:160] = 0  # the part of the body that the picture shows
    tile = sheet([Tile(image, 0.0, Place(150, float(raised[0]), 170))])
    assert (tile[22:, SIZE // 2].mean(axis=1) < 60).sum() == pytest.approx(95, abs=12)
