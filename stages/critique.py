"""The critic compares each rollout with the expert.

reads   expert/         motion.json (and the sheet, for critics that see)
        rollouts/       c0/motion.json ...
        parent/         the parent's best: motion.json
writes  critique.json   for each candidate closeness, gates, four headings, failure, verdict
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from reelward import files, stage
from reelward.critics import measured
from reelward.motion.record import Motion, from_json


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert's keyframes"""
    rollouts: Path
    """folder of the candidates' rollouts"""
    parent: Path
    """the parent's best"""
    out: stage.Out
    """critique.json to write"""
    critic: Literal["measured"]
    """who judges"""
    noise: Annotated[float, Field(ge=0, le=1)]
    """closeness that another training seed moves; smaller gains are called the same"""


def motion(folder: Path) -> Motion:
    return from_json(files.read_json(folder / "motion.json"))


def main(args: Args) -> None:
    expert, parent = motion(args.expert), motion(args.parent)
    index = files.read_json(args.rollouts / "index.json")["candidates"]
    seen = [c["name"] for c in index if not c["error"]]
    files.write_json(
        args.out,
        {
            "critic": args.critic,
            "parent": measured.critique(expert, parent, parent, args.noise),
            "candidates": {
                name: measured.critique(expert, motion(args.rollouts / name), parent, args.noise)
                for name in seen
            },
        },
    )


if __name__ == "__main__":
    stage.run(main, Args)
