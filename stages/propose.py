"""The author writes candidate rewards.

reads   expert/         motion.json (and the sheet, for authors that see)
        parent/         selected.py, feedback.json: the reward to go on from, and what came of it
writes  proposal.json   every candidate as text, where its training starts, and why it is proposed
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from reelward import files, stage
from reelward.authors import measured
from reelward.language import RewardError, compile_reward
from reelward.motion.record import from_json
from reelward.sim.robot import load_robot


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert's keyframes"""
    parent: Path
    """folder of the parent's reward and feedback"""
    out: stage.Out
    """proposal.json to write"""
    robot: str
    """robots/NAME"""
    task: str
    """what is to be learned, in a sentence"""
    author: Literal["measured"]
    """who writes"""
    candidates: Annotated[int, Field(ge=1, le=16)]
    """rewards to write"""


def main(args: Args) -> None:
    robot = load_robot(args.robot)
    expert = from_json(files.read_json(args.expert / "motion.json"))
    try:
        parent = compile_reward((args.parent / "selected.py").read_text(), robot.fields)
    except RewardError:
        parent = None
    feedback = files.read_json(args.parent / "feedback.json")
    proposed = measured.propose(
        robot, expert, parent, feedback, task=args.task, count=args.candidates
    )
    if not proposed:
        raise stage.InputError(
            f"{args.expert}/motion.json: the expert's speed is not usable, so there is nothing to "
            "aim at; give another video, or set keyframes.time_scale"
        )
    files.write_json(args.out, {"author": args.author, "candidates": [asdict(c) for c in proposed]})


if __name__ == "__main__":
    stage.run(main, Args)
