"""Courses: the angles of each leg and the height of the hip over the gait cycle, as harmonics."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reelward.motion.cycle import Period, gait_signal
from reelward.motion.signals import flexion, standing, thigh
from reelward.motion.track import Track

HARMONICS = 3
NEARBY = np.linspace(0.95, 1.05, 101)
"""candidates for the period that fits all cycles at once, as multiples of the measured one"""
LEAST = 0.02
"""a foot that stands, or is in the air, for less than this (cycles) has no landing"""


@dataclass(frozen=True)
class Course:
    """One leg over the cycle. Phase 0 is the landing of the first leg that was measured.

    `thigh`, `knee` and `hip` are a mean, then the cosine and sine of each harmonic.
    """

    landing: float
    """phase at which it lands (cycles)"""
    duty: float
    """how long it stands (cycles)"""
    thigh: tuple[float, ...]
    """degrees"""
    knee: tuple[float, ...]
    """degrees"""
    hip: tuple[float, ...]
    """height over its mean while a leg stands (leg lengths)"""

    def later(self, cycles: float) -> Course:
        """The same course, `cycles` later in the cycle."""
        return replace(
            self,
            landing=(self.landing + cycles) % 1.0,
            thigh=_later(self.thigh, cycles),
            knee=_later(self.knee, cycles),
            hip=_later(self.hip, cycles),
        )


def courses(
    track: Track, leg_length: float, period: Period | None, seen: Collection[str]
) -> dict[str, Course]:
    """The course of each leg of `seen` that has a thigh; phase 0 is the landing of the first one.

    `leg_length` is in the track's unit. Empty without a period, and if the first leg does not land.
    """
    legs = [g for g in track.legs if g in seen and track.has(f"{g}_hip", f"{g}_knee")]
    if period is None or not legs:
        return {}
    track = track.finite().smooth()
    t = np.arange(len(track)) / track.fps
    signal = gait_signal(track)
    cycles = t / min(period.value * NEARBY, key=lambda p: _residual(signal, t / p))
    stands = {g: standing(track, g, leg_length) for g in legs}
    landing, duty = _stance(stands[legs[0]], cycles)
    if min(duty, 1 - duty) < LEAST:
        return {}
    phase = cycles - landing
    hip = _fit(track.centre[:, 1] / leg_length, phase, t)
    hip[0] -= curve(hip, phase[np.any(list(stands.values()), axis=0)]).mean()

    def course(leg: str) -> Course:
        rows = _fit(thigh(track, leg), phase), _fit(flexion(track, leg), phase), hip
        return Course(*_stance(stands[leg], phase), *(tuple(map(float, row)) for row in rows))

    return {leg: course(leg) for leg in legs}


def curve(harmonics: Sequence[float] | np.ndarray, phase: np.ndarray) -> np.ndarray:
    """`[P]` values of a mean and harmonics at `phase [P]` (cycles)."""
    return _basis(phase) @ np.asarray(harmonics)


def _later(harmonics: tuple[float, ...], cycles: float) -> tuple[float, ...]:
    moved = [harmonics[0]]
    for k in range(1, HARMONICS + 1):
        wave = complex(harmonics[2 * k - 1], -harmonics[2 * k])
        wave *= np.exp(-2j * np.pi * k * cycles)
        moved += [wave.real, -wave.imag]
    return tuple(map(float, moved))


def _stance(stands: np.ndarray, phase: np.ndarray) -> tuple[float, float]:
    """Phase of the landing, half a stance before the stance's middle, and the length of the stance
    (cycles)."""
    duty, cosine, sine, *_ = _fit(stands.astype(float), phase)
    landing = np.arctan2(sine, cosine) / (2 * np.pi) - duty / 2
    return float(round(landing, 6) % 1.0), float(duty)


def _basis(phase: np.ndarray) -> np.ndarray:
    turns = 2 * np.pi * np.outer(phase, np.arange(1, HARMONICS + 1))
    waves = np.stack([np.cos(turns), np.sin(turns)], axis=2).reshape(len(phase), -1)
    return np.concatenate([np.ones((len(phase), 1)), waves], axis=1)


def _fit(values: np.ndarray, phase: np.ndarray, drift: np.ndarray | None = None) -> np.ndarray:
    """Mean and harmonics of `values [T]` by least squares. `drift [T]` is a further regressor, whose part
    is left out."""
    basis = _basis(phase)
    regressors = basis if drift is None else np.column_stack([basis, drift])
    return np.linalg.lstsq(regressors, values, rcond=None)[0][: basis.shape[1]]


def _residual(values: np.ndarray, phase: np.ndarray) -> float:
    return float(np.square(values - _basis(phase) @ _fit(values, phase)).sum())
