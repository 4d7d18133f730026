"""The gait cycle: its period, its most regular repetition, and frames at equal phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reelward.motion.track import Track

PERIODIC = 0.5
"""minimum autocorrelation at the period of a periodic signal"""
SHORTEST_S = 0.1
STILL = 0.02
"""a body whose feet move less than this (rms, leg lengths) stands still"""


@dataclass(frozen=True)
class Period:
    """The duration of a cycle."""

    value: float
    """s"""
    uncertainty: float
    """spread over the cycles (s)"""
    strength: float
    """autocorrelation at the period"""


@dataclass(frozen=True)
class Pick:
    """A frame for the contact sheet: index, time (s), phase of the cycle (0 to 1, None: no cycle)."""

    frame: int
    time: float
    phase: float | None


def gait_period(track: Track, leg_length: float) -> Period | None:
    """Period of the legs' movement, or None if there is none (standing, falling, too short).

    It comes from the autocorrelation of `gait_signal`, all coordinates together. Because the signal
    distinguishes the legs, half a cycle is no period. `leg_length` in the track's unit.
    """
    track = track.finite()
    if len(track) < 8:
        return None
    moves = gait_signal(track.smooth())
    if np.sqrt(moves.var(axis=0).sum()) < STILL * leg_length:
        return None
    return period_of(moves, track.fps)


def keyframes(track: Track, leg_length: float, count: int) -> list[Pick]:
    """`count` frames that show the movement: equal phases of the most regular cycle, where phase 0 is
    the landing of the first leg; without a period, equal parts of the distance moved."""
    moves = gait_signal(track.smooth())
    if period := gait_period(track, leg_length):
        start = best_cycle(moves, period.value, track.fps, landings(track, period.value))
        return phases(start, period.value, track.fps, count, len(track))
    return by_energy(moves, track.fps, count)


def gait_signal(track: Track) -> np.ndarray:
    """`[T, D]`: the ankles (or, without ankles, all points) relative to the hip. With one leg also the
    hip's height, because a hopper's ankle hardly swings."""
    names = [f"{leg}_ankle" for leg in track.legs] or list(track.names)
    parts = [track.point(n) - track.centre for n in names]
    return np.concatenate([*parts, track.centre[:, 1:]] if len(track.legs) == 1 else parts, axis=1)


def period_of(signal: np.ndarray, fps: float) -> Period | None:
    """Period of `signal [T, D]`: the first peak of the autocorrelation within 10 % of the highest one.

    The signal must show at least two cycles. The uncertainty is the spread of the lag at which single
    cycles repeat best. None if no lag reaches `PERIODIC`.
    """
    signal = signal.astype(np.float64)
    count = len(signal)
    slope = np.arange(count) - (count - 1) / 2
    signal = signal - signal.mean(axis=0)
    signal = signal - np.outer(slope, slope @ signal) / max(slope @ slope, 1.0)
    first, last = max(3, int(np.ceil(SHORTEST_S * fps))), count // 2
    if last <= first + 1 or not np.any(signal):
        return None
    curve = np.array([_alike(signal, lag) for lag in range(last + 2)])
    middle = curve[1:-1]
    peaks = np.flatnonzero((middle >= curve[:-2]) & (middle >= curve[2:])) + 1
    # Before its first dip, the curve only shows that neighbouring frames are alike.
    dip = int(np.argmax(curve < PERIODIC)) if (curve < PERIODIC).any() else len(curve)
    peaks = peaks[(peaks >= max(first, dip)) & (peaks <= last)]
    peaks = peaks[curve[peaks] >= PERIODIC]
    if not len(peaks):
        return None
    lag = int(peaks[curve[peaks] >= 0.9 * curve[peaks].max()][0])
    fine = lag + _vertex(curve[lag - 1], curve[lag], curve[lag + 1])
    spread = _spread(signal, lag)
    return Period(fine / fps, max(spread, 0.1) / fps, float(curve[lag]))


def best_cycle(
    signal: np.ndarray, period: float, fps: float, starts: Sequence[int] | None = None
) -> int:
    """First frame of the cycle of `period` (s) after which `signal [T, D]` repeats best.

    The comparison covers the eighth of a cycle after both ends. If some of `starts` leave room for a
    cycle, the first frame is one of them.
    """
    lag = round(period * fps)
    reach = max(1, lag // 8)
    room = max(1, len(signal) - lag - reach)
    choice = [s for s in starts or () if s < room] or list(range(room))
    gaps = [
        np.abs(signal[s : s + reach] - signal[s + lag : s + lag + reach]).mean() for s in choice
    ]
    return choice[int(np.argmin(gaps))]


def landings(track: Track, period: float) -> list[int]:
    """Frames at which the first leg lands, which is phase 0 of the gait: it is as far ahead of the
    second leg (with one leg, of the hip) as it gets in a cycle."""
    if not track.legs:
        return []
    track = track.smooth()
    other = track.point(f"{track.legs[1]}_ankle") if len(track.legs) > 1 else track.centre
    ahead = (track.point(f"{track.legs[0]}_ankle") - other)[:, 0]
    half = max(1, round(period * track.fps / 2))
    frames = []
    for i in range(1, len(ahead) - 1):
        cycle = ahead[max(0, i - half) : i + half + 1]
        if ahead[i] == cycle.max():
            # It stays there while both feet are on the ground; the landing is where that begins.
            while i > 0 and ahead[i - 1] > ahead[i] - 0.02 * np.ptp(cycle):
                i -= 1
            frames.append(i)
    return frames


def phases(start: int, period: float, fps: float, count: int, length: int) -> list[Pick]:
    """`count` frames at equal phases of the cycle that begins at frame `start`."""
    wanted = start + np.arange(count) * period * fps / count
    frames = np.clip(np.rint(wanted).astype(int), 0, length - 1)
    return [Pick(int(f), int(f) / fps, i / count) for i, f in enumerate(frames)]


def by_energy(signal: np.ndarray, fps: float, count: int) -> list[Pick]:
    """`count` frames of a movement without a period, in order of time, at equal parts of the distance
    that `signal [T, D]` travels: they show movement, not rest."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(signal, axis=0), axis=1))])
    way = way + np.linspace(0, 1e-6 + 0.05 * way[-1], len(way))
    wanted = np.linspace(0, way[-1], count)
    frames = np.rint(np.interp(wanted, way, np.arange(len(way)))).astype(int)
    return [Pick(int(f), int(f) / fps, None) for f in frames]


def _alike(signal: np.ndarray, lag: int) -> float:
    """Correlation of the signal with itself `lag` frames later, over the common frames."""
    a, b = signal[: len(signal) - lag], signal[lag:]
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else 0.0


def _vertex(left: float, peak: float, right: float) -> float:
    bend = left - 2 * peak + right
    return float(0.5 * (left - right) / bend) if bend < 0 else 0.0


def _spread(signal: np.ndarray, lag: int) -> float:
    """Standard deviation (frames) of the lag after which single cycles repeat best."""
    reach = max(1, lag // 5)
    lags, best_lags = np.arange(lag - reach, lag + reach + 1), []
    for s in range(0, len(signal) - 2 * lag - reach, max(1, lag // 4)):
        part = signal[s : s + lag]
        gap = np.array([-((part - signal[s + g : s + g + lag]) ** 2).sum() for g in lags])
        best = int(np.argmax(gap))
        if 0 < best < len(lags) - 1:
            best_lags.append(lags[best] + _vertex(gap[best - 1], gap[best], gap[best + 1]))
    return float(np.std(best_lags)) if len(best_lags) > 1 else 0.0
