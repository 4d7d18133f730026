"""Where the loop starts: the robot with an untrained policy, measured like all others.

writes  best/           policy.pt, motion.json, track.npz, states.npz, stats.json, sheet.jpg
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from reelward import measures
from reelward.policy import About, Activation, Policy
from reelward.rollout import artefacts, run
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.sim.environment import make_env
from reelward.sim.robot import load_robot


@dataclass(frozen=True)
class Args:
    out: Out
    """Folder to create."""
    robot: str
    """Name of a robot in robots/."""
    seed: Annotated[int, Field(ge=0)]
    """Seed of the policy's weights and the start states."""
    hidden: Annotated[int, Field(gt=0)]
    """Width of the hidden layers, as in training."""
    activation: Activation
    """Activation function of the hidden layers, as in training."""
    init_std: Annotated[float, Field(gt=0)]
    """Standard deviation of the actions, as in training."""
    seconds: Annotated[float, Field(gt=0)]
    """Length of an episode in seconds."""
    measure: Path
    """params.yaml, whose section `measure` says how motion is measured."""


def main(args: Args) -> None:
    torch.manual_seed(args.seed)
    robot = load_robot(args.robot)
    env = make_env(robot, 1, seed=args.seed)
    spaces = env.observation_space, env.action_space
    policy = Policy(About(*spaces, args.hidden, args.activation, robot.name), args.init_std)
    measure = measures.read(args.measure)
    episodes = run(
        robot, policy, None, episodes=1, seconds=args.seconds, seed=args.seed,
        fields=measure.fields,
    )  # fmt: skip
    with files.new_folder(args.out) as out:
        policy.save(out / "policy.pt")
        for name, content in artefacts(robot, episodes, measure).items():
            (out / name).write_bytes(content)


if __name__ == "__main__":
    run_stage(main, Args)
