"""Draw the film of each rollout. Nothing is measured on it, and no selection depends on it.

reads   rollouts/       states.npz of each candidate

writes  films/          c0.mp4 ...
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward.film import drawable, unpack, video
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.progress import progress
from reelward.sim.robot import load_robot


@dataclass(frozen=True)
class Args:
    rollouts: Path
    """Folder of the rollouts."""
    out: Out
    """Folder to create."""
    robot: str
    """Name of a robot in robots/."""
    seconds: Annotated[float, Field(gt=0, le=60)]
    """Most seconds that a film shows."""


def main(args: Args) -> None:
    robot = load_robot(args.robot)
    rollouts = sorted(args.rollouts.glob("*/states.npz")) if drawable(robot) else []
    with files.new_folder(args.out) as out, progress(len(rollouts), "drawing films") as bar:
        for path in rollouts:
            recording = unpack(path.read_bytes())
            (out / f"{path.parent.name}.mp4").write_bytes(video(robot, recording, args.seconds))
            bar.advance()


if __name__ == "__main__":
    run_stage(main, Args)
