"""What the benches of training share: tasks, settings, one learner, medians, tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))  # of the stages, which are not installed

from reelward.policy import Policy  # noqa: E402
from reelward.sim.cpu import CpuPhysics  # noqa: E402
from reelward.sim.env import Env  # noqa: E402
from reelward.sim.robot import load_robot  # noqa: E402
from reelward.training import Job  # noqa: E402
from stages import train  # noqa: E402

RESULTS = Path(__file__).parent / "results"
PARAMS = Path(__file__).parents[1] / "params.yaml"


@dataclass(frozen=True)
class Task:
    """A task of Gymnasium v5: `forward` x velocity + `alive` - `control` x |action|^2, where the
    action is a fraction of the actuators' range. Ant's and Humanoid's contact cost is left out."""

    gymnasium: str
    robot: str
    """with the MJCF's integrator"""
    fast: str
    """the robot to train on"""
    forward: float = 1.0
    alive: float = 0.0
    control: float = 0.1

    @property
    def reward(self) -> str:
        return (
            f'"""The reward of {self.gymnasium}."""\n\n\ndef reward(s):\n    return {{\n'
            f'        "forward": {self.forward} * s.root_vel[:, 0],\n'
            f'        "alive": {self.alive},\n'
            f'        "control": -{self.control} * s.action.square().sum(1),\n    }}\n'
        )


TASKS = {
    "hopper": Task("Hopper-v5", "hopper", "hopper", alive=1.0, control=1e-3),
    "walker2d": Task("Walker2d-v5", "walker2d", "walker2d_fast", alive=1.0, control=1e-3),
    "half_cheetah": Task("HalfCheetah-v5", "half_cheetah", "half_cheetah"),
    "ant": Task("Ant-v5", "ant", "ant_fast", alive=1.0, control=0.5),
    "humanoid": Task("Humanoid-v5", "humanoid", "humanoid_fast", 1.25, 5.0, 0.016),
}


def preset(name: str, **changes: Any) -> dict[str, Any]:
    """Options of the training by presets/NAME.yaml, without its length."""
    root = Path(__file__).parents[1]
    options = yaml.safe_load((root / "params.yaml").read_text())["train"]
    options |= yaml.safe_load((root / f"presets/{name}.yaml").read_text())["train"]
    return {k: v for k, v in options.items() if not k.endswith("env_steps")} | changes


def throughput(name: str) -> dict[str, Any]:
    """The preset of a task for the CPU, made for the most env-steps in the least time."""
    return preset(
        f"{name}-cpu", num_envs=1024, num_steps=8, num_minibatches=2, update_epochs=4,
        activation="silu",
    )  # fmt: skip


def learner(
    task: Task,
    robot: str,
    settings: Mapping[str, Any],
    folder: Path,
    seed: int,
    threads: int = 1,
    candidates: int = 1,
) -> train.Learner:
    """A training of so many candidates that has not begun; without end."""
    source = folder / f"{robot}.py"
    source.write_text(task.reward)
    args = train.Args(
        rewards=folder, parent=folder, out=folder, robot=robot, native=PARAMS, seed=seed,
        env_steps=10**12, warm_env_steps=1, **settings,
    )  # fmt: skip
    job = Job("c0", source, None, seed, folder, folder / "checkpoints", threads)
    return train.Learner(args, [replace(job, seed=seed + i) for i in range(candidates)])


@torch.no_grad()
def evaluate(policy: Policy, task: Task, robot_name: str, episodes: int = 8) -> float:
    """Mean return of whole episodes (1000 steps at most) under the policy's mean action, with the
    velocity that Gymnasium takes: distance a control step."""
    robot = load_robot(robot_name)
    env = Env(robot, CpuPhysics(robot, episodes), seed=1)
    alive, total = torch.ones(episodes, dtype=torch.bool), torch.zeros(episodes)
    for _ in range(1000):
        before = env.fields["root_pos"][:, 0]
        terminated, _ = env.step(policy.act(env.observe()))
        speed = (env.fields["root_pos"][:, 0] - before) / robot.dt
        cost = task.control * env.fields["action"].square().sum(1)
        total += alive * (task.forward * speed + task.alive * ~terminated - cost)
        alive &= ~terminated
        env.reset(~alive & terminated)
    return total.mean().item()


class Stopwatch:
    """Seconds spent in named calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        self.seconds[name] = 0.0

        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                self.seconds[name] += time.perf_counter() - start

        return timed


def machine() -> dict[str, Any]:
    """What the figures hold for, and what else ran."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": platform.processor() or platform.machine(),
        "gpu": gpu,
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }


def median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of rows with equal keys."""
    print(f"\n{title}")
    if not rows:
        return
    texts = [[_text(v) for v in row.values()] for row in rows]
    heads = list(rows[0])
    widths = [max(len(h), *(len(t[i]) for t in texts)) for i, h in enumerate(heads)]
    for line in (heads, *texts):
        print("  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True)))
    sys.stdout.flush()


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def write(name: str, result: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nwrote {path}")
