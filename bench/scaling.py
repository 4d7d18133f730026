"""Throughput against the number of environments and against the number of candidates.

  python bench/scaling.py [--seconds 3] [--robot half_cheetah] [--device cuda]

Environments: one candidate, one core (or the GPU). Candidates: each alone in a process of its own, as
many at once as there are cores; on a GPU all in one process, which share a fixed number of
environments: `x one` then says what keeping them apart costs. Threads, on a CPU: one candidate whose
physics has several cores. Prints tables and writes bench/results/scaling-DEVICE.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import common
import tyro
from throughput import side_by_side, training

from reelward.runtime.workers import cores

ENVS = {"cpu": (32, 64, 128, 256, 512, 1024), "cuda": (512, 1024, 2048, 4096, 8192, 16384)}


@dataclass(frozen=True)
class Args:
    robot: str = "half_cheetah"
    """of common.TASKS"""
    seconds: float = 10.0
    device: Literal["cpu", "cuda"] = "cpu"
    envs: tuple[int, ...] = ()
    """numbers of environments; those of the device where none are named"""


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    task = common.TASKS[args.robot]
    cpu = args.device == "cpu"
    settings = common.throughput(args.robot) if cpu else common.preset(f"{args.robot}-gpu")
    robot = task.robot if cpu else task.fast
    result: dict[str, Any] = {"machine": common.machine(), "robot": robot}
    result["envs"] = []
    for n in args.envs or ENVS[args.device]:
        sized = settings | {"num_envs": n}
        answer = side_by_side(training, 1, args.robot, robot, sized, args.seconds, 1, 1)[0]
        result["envs"].append({"envs": n, **answer})
    common.show(f"one candidate of {robot}, env-steps/s", result["envs"])
    result["candidates"] = []
    for count in range(1, cores() + 1) if cpu else (1, 2, 4, 8):
        processes, together = (count, 1) if cpu else (1, count)
        sized = settings | {"num_envs": settings["num_envs"] // together}
        answers = side_by_side(
            training, processes, args.robot, robot, sized, args.seconds, together, 1
        )
        rate = sum(a["rate"] for a in answers)
        first = result["candidates"][0]["rate"] if result["candidates"] else rate
        result["candidates"].append({"candidates": count, "rate": rate, "x one": rate / first})
    common.show(f"candidates of {robot} at once, env-steps/s", result["candidates"])
    if cpu:
        result["threads"] = []
        for threads in range(1, cores() + 1):
            answer = side_by_side(
                training, 1, args.robot, robot, settings, args.seconds, 1, threads
            )[0]
            result["threads"].append({"threads": threads, **answer})
        common.show(f"one candidate of {robot} by its physics' threads", result["threads"])
    common.write(f"scaling-{args.device}", result)


if __name__ == "__main__":
    main()
