"""Films of a page, and what its player must know to show two of them in step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from reelward.motion.cycle import keyframes, landings
from reelward.motion.figure import stick_figure
from reelward.motion.record import Motion
from reelward.motion.sheet import body_height
from reelward.motion.track import unpack
from reelward.motion.video import probe
from reelward.runtime import files


@dataclass(frozen=True)
class Film:
    """A film and what the player must know of it; the player reads it as JSON."""

    src: str
    width: int
    height: int
    seconds: float
    rate: float
    """seconds of film for a second of the world"""
    start: float | None = None
    """where one whole stride begins (s); None where no stride fits in"""
    period: float | None = None
    """duration of that stride (s)"""
    begins: float = 0.0
    """where the stick figure begins (s)"""
    figure: object = None
    """stick figure (`reelward.motion.figure`)"""


def whole_stride(landings: list[float], period: float, seconds: float) -> float | None:
    """When the last stride begins (s) that is whole in a film of `seconds`: at first a learner's gait
    is still forming. None where no stride fits in."""
    fitting = [t for t in landings if 0 <= t <= seconds - period]
    return round(max(fitting), 3) if fitting else None


def film(path: Path, address: str | None, motion_folder: Path, motion: Motion) -> Film | None:
    """A film with its stick figure and one whole stride, from the track beside its motion."""
    if address is None:
        return None
    info, scale = probe(path), motion.time_scale or 1.0
    plain = Film(address, info.width, info.height, round(info.seconds, 3), 1 / scale)
    track_path, tiles_path = motion_folder / "track.npz", motion_folder / "tiles.json"
    track = unpack(track_path.read_bytes()) if track_path.is_file() else None
    if not track:
        return plain
    begins, start, period = 0.0, None, motion.period.value / scale if motion.period else None
    if tiles_path.is_file():  # the expert's track begins later than its film
        tiles = files.read_json(tiles_path)
        begins = tiles[0]["time_s"] - keyframes(track, body_height(track), len(tiles))[0].time
    if period:
        times = [begins + frame / track.fps for frame in landings(track, period) or [0]]
        start = whole_stride(times, period, info.seconds)
    leg = motion.leg_length_m if motion.subject.startswith("robot:") else None
    return replace(
        plain,
        start=start,
        period=None if start is None or period is None else round(period, 4),
        begins=round(begins, 3),
        figure=stick_figure(track, leg, period, info.seconds),
    )
