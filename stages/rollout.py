"""Film each policy and measure its motion with the expert's ruler.

reads   policies/       c0.pt ..., index.json
        rewards/        c0.py ...: the clock that the policy follows, the terms to report
writes  rollouts/c0/    motion.json, track.npz, stats.json, sheet.jpg, video.mp4
        rollouts/index.json   which candidates were rolled out, which failed and why
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward.language import compile_reward, native_terms, read_native
from reelward.policy import Policy
from reelward.rollout import film
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.progress import progress
from reelward.sim.robot import load_robot


@dataclass(frozen=True)
class Args:
    policies: Path
    """folder of the policies"""
    rewards: Path
    """folder of the candidate rewards"""
    out: Out
    """folder to create"""
    robot: str
    """robots/NAME"""
    native: Path
    """params.yaml: its section `native` names the user's own terms"""
    seed: Annotated[int, Field(ge=0)]
    """of the start states"""
    episodes: Annotated[int, Field(ge=1, le=64)]
    """deterministic episodes to measure"""
    seconds: Annotated[float, Field(gt=0, le=120)]
    """length of each"""
    video_seconds: Annotated[float, Field(gt=0, le=60)]
    """length of the film"""


def main(args: Args) -> None:
    robot = load_robot(args.robot)
    native = native_terms(read_native(args.native))
    index = files.read_json(args.policies / "index.json")["candidates"]
    trained = [c for c in index if not c["error"]]
    with files.new_folder(args.out) as out, progress(len(trained), "filming") as bar:
        for c in trained:
            policy = Policy.load(files.verified(args.policies / f"{c['name']}.pt"))
            text = (args.rewards / c["file"]).read_text()
            reward = compile_reward(text, robot.fields, native=native)
            (out / c["name"]).mkdir()
            shown = film(
                robot, policy, reward, episodes=args.episodes, seconds=args.seconds,
                video_seconds=args.video_seconds, seed=args.seed,
            )  # fmt: skip
            for name, content in shown.items():
                (out / c["name"] / name).write_bytes(content)
            bar.advance()
        files.write_json(out / "index.json", {"candidates": index})


if __name__ == "__main__":
    run_stage(main, Args)
