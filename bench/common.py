"""What the benches of training share: tasks, settings, a learner, evaluation, tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # of the stages, which are not installed

from reelward.policy import Policy  # noqa: E402
from reelward.runtime.workers import cores  # noqa: E402
from reelward.sim.cpu import CpuPhysics  # noqa: E402
from reelward.sim.env import Env  # noqa: E402
from reelward.sim.robot import load_mjcf  # noqa: E402
from reelward.training import Job, Seeds  # noqa: E402
from stages import train  # noqa: E402

RESULTS = Path(__file__).parent / "results"
PARAMS = ROOT / "params.yaml"
EPISODE = 1000
"""Steps of an episode in Gymnasium's tasks."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Task:
    """A task of Gymnasium v5. Its reward is `forward` x velocity + `alive` - `control` x |action|^2,
    where an action is a fraction of the actuator's range. The contact cost of Ant and Humanoid is
    left out."""

    gymnasium: str
    robot: str
    """With the integrator of Gymnasium's XML."""
    fast: str
    """The same robot with the integrator to train with."""
    forward: float = 1.0
    alive: float = 0.0
    control: float = 0.1

    @property
    def reward(self) -> str:
        """The reward as a reward file."""
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


def preset(name: str, robot: str, **changes: Any) -> train.Args:
    """Options of a training without end, from params.yaml and presets/NAME.yaml."""
    options = yaml.safe_load(PARAMS.read_text())["train"]
    options |= yaml.safe_load((ROOT / f"presets/{name}.yaml").read_text())["train"]
    options |= {"env_steps": 10**12, "warm_env_steps": 1} | changes
    here = Path()
    return train.Args(
        rewards=here,
        parent=here,
        gait=here,
        out=here,
        robot=robot,
        native=PARAMS,
        seed=0,
        iteration="iter-00",
        **options,
    )


def fastest(name: str, robot: str, **changes: Any) -> train.Args:
    """The preset of a task for the CPU, changed to do the most env-steps a second."""
    sizes = {"num_envs": 1024, "num_steps": 8, "num_minibatches": 2, "update_epochs": 4}
    return preset(f"{name}-cpu", robot, **(sizes | {"activation": "silu"} | changes))


def learner(
    task: Task, args: train.Args, folder: Path, seed: int, threads: int = 1, candidates: int = 1
) -> train.Learner:
    """A training of `candidates` policies that has not begun. Its files go to `folder`."""
    source = folder / f"{args.robot}.py"
    source.write_text(task.reward)
    job = Job("c0", source, None, Seeds.of(seed, 0, 0), folder, folder / "checkpoints", threads)
    return train.prepare(
        args, [replace(job, seeds=Seeds.of(seed, 0, i)) for i in range(candidates)]
    )


@torch.no_grad()
def evaluate(policy: Policy, task: Task, robot_name: str, episodes: int = 8) -> float:
    """Mean return of whole episodes under the most likely actions. The velocity is that of
    Gymnasium: distance over a control step."""
    robot = load_mjcf(robot_name)
    env = Env(robot, CpuPhysics(robot, episodes), seed=1)
    alive, total = torch.ones(episodes, dtype=torch.bool), torch.zeros(episodes)
    for _ in range(EPISODE):
        before = env.fields["root_pos"][:, 0]
        terminated, _ = env.step(policy.act(env.observe()))
        speed = (env.fields["root_pos"][:, 0] - before) / robot.dt
        cost = task.control * env.fields["action"].square().sum(1)
        total += alive * (task.forward * speed + task.alive * ~terminated - cost)
        alive &= ~terminated
        env.reset(~alive & terminated)
    return total.mean().item()


@dataclass
class Stopwatch:
    """Seconds spent in named calls."""

    seconds: dict[str, float] = field(default_factory=dict)

    def around(self, name: str, call: Callable[P, R]) -> Callable[P, R]:
        self.seconds[name] = 0.0

        def timed(*args: P.args, **options: P.kwargs) -> R:
            start = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                self.seconds[name] += time.perf_counter() - start

        return timed


@dataclass(frozen=True)
class Machine:
    """The machine that figures hold for, and its load before the bench."""

    cores: int
    cpu: str
    gpu: str | None
    torch: str
    load_before: float


def machine() -> Machine:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cpu = platform.processor() or platform.machine()
    return Machine(cores(), cpu, gpu, torch.__version__, os.getloadavg()[0])


def median(values: Iterable[float | None]) -> float | None:
    """Of the values that are known; None if none is."""
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of rows with equal keys."""
    table = Table(title=title, title_justify="left", box=None)
    for head in rows[0] if rows else ():
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*map(_text, row.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def write(name: str, result: Any) -> None:
    """Write a record, or JSON with records in it, to bench/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, default=_record) + "\n")
    print(f"\nwrote {path}")


def _record(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"expected JSON or a dataclass, got {type(value).__name__}")
