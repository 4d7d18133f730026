"""Find the subject of the video, follow it, measure its motion, draw its contact sheet.

reads   video           data/expert/video.mp4
        weights         data/pose: the pose model
writes  keyframes/      sheet.jpg    numbered pictures of one cycle
                        tiles.json   which frames these are
                        motion.json  descriptors, each with unit and uncertainty, and what could not
                                     be measured
                        gait.json    whether the legs alternate
                        track.npz    the points over time
                        shots.json   every shot with its rank
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from reelward.measures.gait import alternate
from reelward.measures.reference import reference
from reelward.motion.expert import Expert, Wish, measure
from reelward.motion.pose import DETECTOR, LANDMARKS, PoseModel
from reelward.motion.record import to_json
from reelward.motion.sheet import sheet
from reelward.motion.subject import Person
from reelward.motion.track import pack
from reelward.motion.video import encode_jpeg
from reelward.records import Gait
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.progress import progress

SHARE = r"(0(\.\d*)?|1(\.0*)?|\.\d+)"


@dataclass(frozen=True)
class Args:
    video: Path
    """the expert's video"""
    weights: Path
    """folder of the pose model"""
    out: Out
    """folder to create"""
    shot: Literal["auto"] | Annotated[int, Field(ge=0)]
    """number of the shot (shots.json counts them from 0), or auto"""
    subject: Annotated[
        str,
        Field(pattern=rf"^(auto|{SHARE},{SHARE})$", description="auto or x,y, each from 0 to 1"),
    ]
    """auto, or x,y: where the person is at the shot's start, as shares of width and height"""
    tiles: Annotated[int, Field(ge=4, le=16)]
    """pictures on the contact sheet"""
    stature: Annotated[float, Field(ge=0.3, le=3)]
    """the person's height (m); one camera gives no scale, so it is assumed"""
    time_scale: Annotated[float, Field(gt=0, le=100)] | None
    """seconds of the world a second of the video; null if unknown"""


def wish(args: Args) -> Wish:
    x, _, y = args.subject.partition(",")
    return Wish(
        shot=None if args.shot == "auto" else args.shot,
        at=(float(x), float(y)) if y else None,
        tiles=args.tiles,
        stature=args.stature,
        time_scale=args.time_scale,
    )


def shots_table(expert: Expert) -> list[dict]:
    """The shots, best first."""
    order = sorted(range(len(expert.shots)), key=lambda k: (k != expert.chosen, -rank(expert, k)))
    return [
        {
            "shot": k,
            "chosen": k == expert.chosen,
            "kind": expert.ranks[k].kind,
            "score": round(rank(expert, k), 4),
            "parts": {n: round(v, 4) for n, v in expert.ranks[k].parts.items()},
            **{n: round(v, 4) for n, v in asdict(expert.shots[k]).items()},
        }
        for k in order
    ]


def rank(expert: Expert, k: int) -> float:
    return expert.ranks[k].score


def tiles_table(expert: Expert) -> list[dict]:
    return [
        {
            "tile": i + 1,
            "frame": p.frame,
            "time_s": round(p.time, 4),
            "phase": p.phase,
            "flipped": isinstance(expert.subject, Person) and expert.subject.flip,
        }
        for i, p in enumerate(expert.subject.picks)
    ]


def main(args: Args) -> None:
    for name in (DETECTOR, LANDMARKS):
        files.verified(args.weights / name)
    expert = measure(args.video, PoseModel(args.weights), wish(args), progress)
    with files.new_folder(args.out) as out:
        (out / "sheet.jpg").write_bytes(encode_jpeg(sheet(expert.tiles)))
        (out / "track.npz").write_bytes(pack(expert.subject.track))
        files.write_json(out / "tiles.json", tiles_table(expert))
        motion = reference(expert.subject, args.time_scale)
        files.write_json(out / "motion.json", to_json(motion))
        files.write_record(out / "gait.json", Gait(alternate=alternate(motion)))
        files.write_json(out / "shots.json", shots_table(expert))


if __name__ == "__main__":
    run_stage(main, Args)
