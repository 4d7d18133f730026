"""Find the subject of the video, follow it, measure its motion, draw its contact sheet.

reads   video           data/expert/video.mp4
        weights         data/pose: the pose model

writes  keyframes/      sheet.jpg    numbered pictures of one cycle
                        followed.jpg the same with the skeleton or outline that was followed
                        tiles.json   the frames of these pictures
                        motion.json  descriptors, each with unit, uncertainty and whether it is usable
                        gait.json    whether the legs alternate
                        track.npz    the points over time
                        shots.json   every shot with its rank

Without a video (an empty file), motion.json says that no expert is known; there is no sheet.jpg,
no followed.jpg and no track.npz.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from reelward import measures
from reelward.measures.base import Measure
from reelward.measures.reference import NO_EXPERT
from reelward.motion.expert import Expert, Wish, measure
from reelward.motion.pose import DETECTOR, LANDMARKS, PoseModel
from reelward.motion.record import KeyframeRow, Motion, ShotRow, to_json
from reelward.motion.sheet import sheet
from reelward.motion.subject import Person, Subject
from reelward.motion.track import pack
from reelward.motion.video import encode_jpeg
from reelward.records import ExpertGait
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.progress import progress
from reelward.runtime.words import show

FRACTION = r"(0(\.\d*)?|1(\.0*)?|\.\d+)"


@dataclass(frozen=True)
class Args:
    video: Path
    """The expert's video."""
    weights: Path
    """Folder of the pose model."""
    out: Out
    """Folder to create."""
    shot: Literal["auto"] | Annotated[int, Field(ge=0)]
    """Number of the shot, from 0 as in shots.json; auto for the best one."""
    subject: Annotated[
        str,
        Field(
            pattern=rf"^(auto|{FRACTION},{FRACTION})$", description="auto or x,y, each from 0 to 1"
        ),
    ]
    """Where the subject is at the start of the shot: x,y as fractions of width and height; auto for the
    largest person."""
    tiles: Annotated[int, Field(ge=4, le=16)]
    """Number of pictures on the contact sheet."""
    stature: Annotated[float, Field(ge=0.3, le=3)]
    """The person's assumed height in m, because one camera gives no scale."""
    time_scale: Annotated[float, Field(gt=0, le=100)] | None
    """Seconds of the world per second of the video; null if unknown."""
    measure: Path
    """params.yaml, whose section `measure` says how motion is measured."""


def wish(args: Args) -> Wish:
    x, _, y = args.subject.partition(",")
    return Wish(
        shot=None if args.shot == "auto" else args.shot,
        at=(float(x), float(y)) if y else None,
        tiles=args.tiles,
        stature=args.stature,
        time_scale=args.time_scale,
    )


def shot_rows(expert: Expert) -> list[ShotRow]:
    """The shots: the chosen one, then the others from best to worst."""
    scores = [rank.score for rank in expert.ranks]
    order = sorted(range(len(scores)), key=lambda k: (k != expert.chosen, -scores[k]))
    return [
        ShotRow(
            shot=k,
            chosen=k == expert.chosen,
            kind=expert.ranks[k].kind,
            score=round(scores[k], 4),
            parts={n: round(v, 4) for n, v in expert.ranks[k].parts.items()},
            first=expert.shots[k].first,
            last=expert.shots[k].last,
            start=round(expert.shots[k].start, 4),
            stop=round(expert.shots[k].stop, 4),
        )
        for k in order
    ]


def keyframe_rows(subject: Subject) -> list[KeyframeRow]:
    """The keyframes in the order of their tiles."""
    flipped = isinstance(subject, Person) and subject.flip
    return [
        KeyframeRow(tile=i, frame=p.frame, time_s=round(p.time, 4), phase=p.phase, flipped=flipped)
        for i, p in enumerate(subject.picks, 1)
    ]


def main(args: Args) -> None:
    ruler = measures.read(args.measure)
    if args.video.stat().st_size == 0:  # fetch.source is null
        with files.new_folder(args.out) as out:
            write_figures(out, ruler, NO_EXPERT, [], [])
        return
    for name in (DETECTOR, LANDMARKS):
        files.verified(args.weights / name)
    expert = measure(args.video, PoseModel(args.weights), wish(args), progress)
    with files.new_folder(args.out) as out:
        (out / "sheet.jpg").write_bytes(encode_jpeg(sheet(expert.tiles)))
        (out / "followed.jpg").write_bytes(encode_jpeg(sheet(expert.tiles, strokes=True)))
        (out / "track.npz").write_bytes(pack(expert.subject.track))
        motion = ruler.reference(expert.subject, args.time_scale)
        write_figures(out, ruler, motion, keyframe_rows(expert.subject), shot_rows(expert))
    usable = [name for name, d in motion.descriptors.items() if d.usable]
    rhythm = "" if motion.period else "no period found; "
    show(
        f"reelward keyframes: {rhythm}{len(usable)} of {len(motion.descriptors)} figures are usable: "
        f"{', '.join(usable) or 'none'}; motion.json says why the others are not",
        sys.stderr,
    )


def write_figures(
    out: Path,
    ruler: Measure,
    motion: Motion,
    keyframes: list[KeyframeRow],
    shots: list[ShotRow],
) -> None:
    files.write_json(out / "motion.json", to_json(motion))
    files.write_record(out / "gait.json", ExpertGait(alternate=ruler.alternate(motion)))
    files.write_json(out / "tiles.json", [row.model_dump() for row in keyframes])
    files.write_json(out / "shots.json", [row.model_dump() for row in shots])


if __name__ == "__main__":
    run_stage(main, Args)
