"""Run each policy and measure its motion as the expert's was measured.

reads   policies/       c0.pt ..., index.json
        rewards/        c0.py ...: the gait clock that the policy follows, the terms to report

writes  rollouts/c0/    motion.json, track.npz, states.npz, stats.json, sheet.jpg
        rollouts/index.json   which candidates were rolled out, and why others were not
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward import measures
from reelward.language import compile_reward, native_terms, read_native
from reelward.policy import Policy
from reelward.records import Candidates
from reelward.rollout import artefacts, run
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.progress import progress
from reelward.sim.robot import load_robot


@dataclass(frozen=True)
class Args:
    policies: Path
    """Folder of the policies."""
    rewards: Path
    """Folder of the candidate rewards."""
    out: Out
    """Folder to create."""
    robot: str
    """Name of a robot in robots/."""
    native: Path
    """params.yaml, whose section `native` names the user's own reward terms."""
    seed: Annotated[int, Field(ge=0)]
    """Seed of the start states."""
    episodes: Annotated[int, Field(ge=1, le=64)]
    """Number of deterministic episodes to measure."""
    seconds: Annotated[float, Field(gt=0, le=120)]
    """Length of an episode in seconds."""
    measure: Path
    """params.yaml, whose section `measure` says how motion is measured."""


def main(args: Args) -> None:
    robot = load_robot(args.robot)
    native = native_terms(read_native(args.native))
    measure = measures.read(args.measure)
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
