"""Throughput by the number of environments, of candidates and of threads.

  python bench/scaling.py [--seconds 3] [--robot half_cheetah] [--device cuda]

Environments: one candidate on one core, or on the GPU. Candidates: on a CPU one process each, as
many at once as there are cores; on a GPU all in one process, with a fixed number of environments
divided among them, so that `x one` says what it costs to keep them apart. Threads, on a CPU only: one
candidate whose physics has several cores. Prints tables and writes bench/results/scaling-DEVICE.json.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import common
import tyro
from parallel import side_by_side
from throughput import Speed, Work, training

from reelward.runtime.workers import cores

ENVS = {"cpu": (32, 64, 128, 256, 512, 1024), "cuda": (512, 1024, 2048, 4096, 8192, 16384)}
TOGETHER = (1, 2, 4, 8)
"""Candidates in one process on a GPU."""


@dataclass(frozen=True)
class Args:
    robot: str = "half_cheetah"
    """Name of a task in common.TASKS."""
    seconds: float = 10.0
    """Length of each measurement."""
    device: Literal["cpu", "cuda"] = "cpu"
    envs: tuple[int, ...] = ()
    """Numbers of environments; if none is given, those that suit the device."""


def row(name: str, value: int, speed: Speed) -> dict[str, float]:
    parts = {f"{part} us": us for part, us in speed.parts.items()}
    return {name: value, "env-steps/s": speed.rate} | parts


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    machine, task, cpu = common.machine(), common.TASKS[args.robot], args.device == "cpu"
    settings = (
        common.fastest(args.robot, task.robot)
        if cpu
        else common.preset(f"{args.robot}-gpu", task.fast)
    )
    one = Work(args.robot, settings, args.seconds)

    envs = []
    for n in args.envs or ENVS[args.device]:
        (speed,) = side_by_side(training, 1, replace(one, args=replace(settings, num_envs=n)))
        envs.append(row("envs", n, speed))
    common.show(f"one candidate of {settings.robot}", envs)

    candidates: list[dict[str, float]] = []
    for count in range(1, cores() + 1) if cpu else TOGETHER:
        processes, together = (count, 1) if cpu else (1, count)
        divided = replace(settings, num_envs=settings.num_envs // together)
        speeds = side_by_side(training, processes, replace(one, args=divided, candidates=together))
        rate = sum(s.rate for s in speeds)
        first = candidates[0]["env-steps/s"] if candidates else rate
        candidates.append({"candidates": count, "env-steps/s": rate, "x one": rate / first})
    common.show(f"candidates of {settings.robot} at once", candidates)

    threads = []
    for count in range(1, cores() + 1) if cpu else ():
        (speed,) = side_by_side(training, 1, replace(one, threads=count))
        threads.append(row("threads", count, speed))
    if threads:
        common.show(f"one candidate of {settings.robot} by the threads of its physics", threads)

    result = {"machine": machine, "robot": settings.robot}
    tables = {"envs": envs, "candidates": candidates, "threads": threads}
    common.write(f"scaling-{args.device}", result | tables)


if __name__ == "__main__":
    main()
