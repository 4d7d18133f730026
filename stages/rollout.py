"""Run each policy and measure its motion as the expert's was.

reads   policies/       c0.pt ..., index.json
        rewards/        c0.py ...: the clock that the policy follows, the terms to report
writes  rollouts/c0/    motion.json, track.npz, states.npz, stats.json, sheet.jpg
        rollouts/index.json   which candidates were rolled out, which failed and why
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward import measures
from reelward.language import compile_reward, native_terms, read_native
from reelward.policy import Policy
from reelward.records import Candidates, MeasureKind
from reelward.rollout import artefacts, run
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.progress import progress
from reelward.sim.robot import load_mjcf


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
    measure: MeasureKind
    """what good motion means: measure.kind of params.yaml"""
    field: str | None
    """of the measure: measure.field"""
    goal: float | None
    """of the measure: measure.goal"""


def main(args: Args) -> None:
    robot = load_mjcf(args.robot)
    native = native_terms(read_native(args.native))
    measure = measures.load(args.measure, args.field, args.goal)
    index = files.read_record(args.policies / "index.json", Candidates)
    with files.new_folder(args.out) as out, progress(len(index.sound), "rollouts") as bar:
        for c in index.sound:
            policy = Policy.load(files.verified(args.policies / f"{c.name}.pt"))
            text = (args.rewards / str(c.file)).read_text()
            episodes = run(
                robot, policy, compile_reward(text, robot.fields, native=native),
                episodes=args.episodes, seconds=args.seconds, seed=args.seed, fields=measure.fields,
            )  # fmt: skip
            (out / c.name).mkdir()
            for name, content in artefacts(robot, episodes, measure).items():
                (out / c.name / name).write_bytes(content)
            bar.advance()
        files.write_record(out / "index.json", index)


if __name__ == "__main__":
    run_stage(main, Args)
