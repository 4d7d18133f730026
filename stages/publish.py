"""Copy the newest selection to fixed places.

reads   rewards/        selected.py, history.csv of the newest iteration
        best/           its policy, states and figures

writes  rewards/best.py, rewards/history.csv, metrics.json, data/best/
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward.film import drawable, unpack, video
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.sim.robot import load_robot


@dataclass(frozen=True)
class Args:
    rewards: Path
    """Folder of the newest iteration's selected.py and history.csv."""
    best: Path
    """Folder of the newest iteration's best."""
    robot: str
    """Name of a robot in robots/."""
    seconds: Annotated[float, Field(gt=0, le=60)]
    """Most seconds that the film shows."""
    reward_out: Out
    """best.py to write."""
    history_out: Out
    """history.csv to write."""
    metrics_out: Out
    """metrics.json to write."""
    best_out: Out
    """Folder to create."""


def metrics(history: str) -> dict[str, float | str]:
    """The last line of the history, numbers as numbers."""
    last = list(csv.DictReader(history.splitlines()))[-1]
    words = ("iteration", "candidate", "verdict")
    return {k: v if k in words else float(v) for k, v in last.items() if v != ""}


def main(args: Args) -> None:
    history = (args.rewards / "history.csv").read_text()
    with files.new_folder(args.best_out) as out:
        shutil.copytree(args.best, out, dirs_exist_ok=True)
        recording = unpack((args.best / "states.npz").read_bytes())
        if drawable(robot := load_robot(args.robot)):
            (out / "video.mp4").write_bytes(video(robot, recording, args.seconds))
    files.write_text(args.reward_out, (args.rewards / "selected.py").read_text())
    files.write_text(args.history_out, history)
    files.write_json(args.metrics_out, metrics(history))


if __name__ == "__main__":
    run_stage(main, Args)
