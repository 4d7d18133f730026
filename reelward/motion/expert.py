"""The expert: from a video file to the subject of its best shot, and its contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from reelward.motion import shots, silhouette
from reelward.motion.cycle import Pick
from reelward.motion.person import LEAST_S, NotUpright, in_view
from reelward.motion.pose import SEEN, Follower, PoseModel
from reelward.motion.sheet import Place as Pixels
from reelward.motion.sheet import Stroke, Tile
from reelward.motion.shots import Glance, Rank, Shot
from reelward.motion.subject import Person, Place, Subject, follow_outline, follow_person
from reelward.motion.video import Frame, Info, VideoError, frames, probe

GLANCES = 8
"""frames of each shot that are examined before some shots are followed"""
FOLLOWED = 3
"""shots that are followed before one is chosen"""
LONGEST_S = 20.0
"""at most this much of a shot is followed"""
SIDE, OUTLINE_SIDE, CUT_SIDE = 960, 320, 256
"""longest side (pixels) of the pictures for poses, outlines and shot detection"""


class Bar(Protocol):
    def advance(self) -> None: ...


Progress = Callable[[float, str], AbstractContextManager[Bar]]
"""(number of frames, title) -> a progress bar with `advance()`"""


@dataclass(frozen=True)
class Wish:
    """What the user asks for."""

    shot: int | None
    """number of the shot; None: choose"""
    at: tuple[float, float] | None
    """place of the subject (fractions of the picture); None: choose"""
    tiles: int
    """of the contact sheet"""
    stature: float
    """m"""
    time_scale: float | None
    """seconds of the world per second of the video; None: unknown"""


@dataclass(frozen=True)
class Expert:
    """The subject of the shot number `chosen`, its tiles, and all shots with their ranks."""

    subject: Subject
    tiles: list[Tile]
    shots: list[Shot]
    ranks: list[Rank]
    chosen: int


def measure(path: Path, model: PoseModel, wish: Wish, progress: Progress) -> Expert:
    """The expert of a video. Raises VideoError, also if no subject is found."""
    info = probe(path)
    total = info.seconds * info.fps
    with progress(total, "finding shots") as bar:
        cuts = shots.find_shots(_counted(frames(path, side=CUT_SIDE), bar), info.fps)
    if cuts[-1].last < 8:
        raise VideoError(f"{path}: expected a video of at least 8 frames, got {cuts[-1].last}")
    if wish.shot is not None and wish.shot >= len(cuts):
        raise VideoError(f"shot {wish.shot}: expected 0 to {len(cuts) - 1}, the shots of {path}")
    with progress(total, "looking at shots") as bar:
        ranks = _glances(_counted(frames(path, side=SIDE), bar), model, cuts)
    wanted = sorted(ranks, key=lambda r: -r.score)[:FOLLOWED]
    if wish.shot is not None:
        wanted = [ranks[wish.shot]]
    subjects: dict[int, Subject] = {}
    tilted = None
    for rank in wanted:
        try:
            subject = _follow(path, info, model, cuts[rank.shot], rank, wish, progress)
        except NotUpright as e:
            tilted = NotUpright(f"{path}: {e}")
            continue
        if subject:
            period = subject.period
            subjects[rank.shot] = subject
            ranks[rank.shot] = shots.measured(
                rank,
                drift=subject.drift if isinstance(subject, Person) else 0.0,
                strength=period.strength if period else 0.0,
                cycles=subject.track.seconds / period.value if period else 0.0,
            )
    if not subjects:
        raise tilted or VideoError(f"{path}: no subject: {_missing(info, cuts, wish)}")
    chosen = max(subjects, key=lambda k: ranks[k].score)
    tiles = _tiles(frames(path, side=SIDE), subjects[chosen])
    return Expert(subjects[chosen], tiles, cuts, ranks, chosen)


def _missing(info: Info, cuts: list[Shot], wish: Wish) -> str:
    """What a video without a subject lacks."""
    longest = max(cuts, key=lambda s: s.last - s.first)
    which = "the video" if len(cuts) == 1 else "the longest one"
    if wish.shot is not None:
        longest, which = cuts[wish.shot], f"shot {wish.shot}"
    if (longest.last - longest.first - 1) / info.fps < LEAST_S:
        return (
            f"expected a shot longer than {LEAST_S:g} s, {which} lasts "
            f"{longest.stop - longest.start:.2f} s; choose a longer section"
        )
    return (
        "expected one person wholly in view for a second or more, or one moving body before a plain "
        "background; choose another section or crop"
    )


def _glances(stream: Iterable[Frame], model: PoseModel, cuts: list[Shot]) -> list[Rank]:
    wanted = {
        int(i): k
        for k, s in enumerate(cuts)
        for i in np.linspace(s.first, s.last - 1, GLANCES + 2)[1:-1]
    }
    glances: list[list[Glance]] = [[] for _ in cuts]
    for frame in stream:
        if frame.index in wanted:
            glances[wanted[frame.index]].append(_glance(model, frame.image))
    return [shots.judge(k, s, glances[k]) for k, s in enumerate(cuts)]


def _glance(model: PoseModel, image: np.ndarray) -> Glance:
    people = model.detect(image)
    if people:
        pose, detection = model.landmarks(image, max(people, key=lambda p: p.size))
        if detection.score >= SEEN:
            _, top, _, bottom = pose.box
            inside = in_view(pose, image)
            return Glance("person", len(people), (bottom - top) / image.shape[0], inside)
    body = silhouette.outline(image)
    if body is None:
        return Glance("none")
    _, top, _, bottom = body.box
    return Glance("silhouette", 1, (bottom - top) / image.shape[0], body.whole)


def _follow(
    path: Path, info: Info, model: PoseModel, shot: Shot, rank: Rank, wish: Wish, progress: Progress
) -> Subject | None:
    if rank.kind == "none":
        return None
    # Half a frame early, so that the next shot's first frame stays out.
    stop = min(shot.stop, shot.start + LONGEST_S) - 0.5 / info.fps
    side = SIDE if rank.kind == "person" else OUTLINE_SIDE
    with progress((stop - shot.start) * info.fps, f"following shot {rank.shot}") as bar:
        stream = _counted(frames(path, start=shot.start, stop=stop, side=side), bar)
        if rank.kind == "silhouette":
            return follow_outline(stream, count=wish.tiles)
        high = round(info.height * min(1.0, SIDE / max(info.width, info.height)))
        return follow_person(
            stream,
            Follower(model, wish.at),
            high,
            count=wish.tiles,
            stature=wish.stature,
            time_scale=wish.time_scale,
        )


def _tiles(stream: Iterable[Frame], subject: Subject) -> list[Tile]:
    wanted = {p.frame for p in subject.picks}
    pictures: dict[int, np.ndarray] = {}
    for frame in stream:
        if frame.index in wanted:
            pictures[frame.index] = frame.image
        if len(pictures) == len(wanted):
            break
    flip = isinstance(subject, Person) and subject.flip
    return [
        _tile(pictures[pick.frame], place, strokes, pick, flip)
        for pick, place, strokes in zip(
            subject.picks, subject.places, subject.drawings, strict=True
        )
    ]


def _tile(image: np.ndarray, place: Place, strokes: list[Stroke], pick: Pick, flip: bool) -> Tile:
    high = image.shape[0]
    pixels = Pixels(place.centre * high, place.ground * high, place.height * high)
    scaled = [Stroke(s.side, s.points * high) for s in strokes]
    return Tile(image, pick.time, pixels, pick.phase, flip, scaled)


def _counted(stream: Iterable[Frame], bar: Bar) -> Iterator[Frame]:
    for frame in stream:
        bar.advance()
        yield frame
