"""How long training takes to a stated return, beside Stable-Baselines3's PPO with 8 environments.

  python bench/time_to_return.py                                    three tasks, three seeds
  python bench/time_to_return.py --seconds 3 --tasks half_cheetah --seeds 1 --no-peer    a trial

Clock: wall-clock of training alone, evaluations left out. Return: mean of 8 deterministic episodes of
at most 1000 steps, with the velocity as Gymnasium takes it, without contact cost on both sides. Ours
is evaluated in the physics it trains in (implicitfast for walker2d and ant); beside it stands the
return of the same policy under the integrator of Gymnasium's XML. Ours has all cores; the peer, whose
fastest way is one, runs one seed a core at the same time. It is given up after `factor` times our own
seconds (`> seconds` in the table), and not asked where ours did not arrive. Writes bench/results/time_to_return.json.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import peers
import tyro

from reelward.runtime.workers import cores

REACH = {"half_cheetah": 3000.0, "walker2d": 3000.0, "ant": 2000.0}


@dataclass(frozen=True)
class Args:
    tasks: tuple[str, ...] = ("half_cheetah", "walker2d", "ant")
    seeds: tuple[int, ...] = (1, 2, 3)
    seconds: float = 240.0
    """given up after"""
    factor: float = 10.0
    """times our seconds that the peer may take"""
    peer: bool = True


def ours(name: str, seed: int, seconds: float) -> dict[str, Any]:
    """Seconds of training until the return is reached, None where it was not."""
    task = common.TASKS[name]
    with tempfile.TemporaryDirectory() as folder:
        settings = common.preset(f"{name}-cpu")
        learner = common.learner(task, task.fast, settings, Path(folder), seed, threads=cores())
        spent, curve, best = 0.0, [], None
        while spent < seconds and best is None:
            part = 0.0
            while part < max(1.0, seconds / 120):
                start = time.perf_counter()
                learner.collect()
                learner.update()
                part += time.perf_counter() - start
            spent += part
            reached = common.evaluate(learner.candidates[0].policy, task, task.fast)
            curve.append((round(spent, 1), round(reached, 1)))
            if reached >= REACH[name]:
                best = spent
        return {
            "seconds": best,
            "env_steps": learner.candidates[0].env_steps,
            "return": curve[-1][1],
            "return under the XML": common.evaluate(learner.candidates[0].policy, task, task.robot),
            "curve": curve,
        }


def theirs(name: str, seed: int, cap: float) -> dict[str, Any] | None:
    task = common.TASKS[name].gymnasium
    return peers.ask("sb3-return", task, "--reach", REACH[name], "--cap", cap, "--seed", seed)


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    runs = [(name, seed) for name in args.tasks for seed in args.seeds]
    result: dict[str, Any] = {"machine": common.machine(), "reach": REACH, "rows": []}
    for name, seed in runs:
        found = ours(name, seed, args.seconds)
        result["rows"].append({"task": name, "seed": seed, "ours": found, "sb3": None})
        common.write("time_to_return", result)
    if args.peer:
        peers.python()  # once, before several ask for it
        caps = [args.factor * (row["ours"]["seconds"] or 0.0) for row in result["rows"]]
        with ThreadPoolExecutor(cores()) as pool:
            answers = pool.map(lambda run, cap: theirs(*run, cap) if cap else None, runs, caps)
            for row, answer in zip(result["rows"], answers, strict=True):
                row["sb3"] = answer
                common.write("time_to_return", result)
    common.show(
        "seconds of training to a return", [shown(row, args.factor) for row in result["rows"]]
    )


def shown(row: dict[str, Any], factor: float) -> dict[str, Any]:
    """A row of the table; of a peer that did not arrive, what is known."""
    mine, peer = row["ours"]["seconds"], row["sb3"]
    late = peer and not peer["seconds"]
    took = peer and (mine * factor if late else peer["seconds"])
    more = "> " if late else ""
    return {
        "task": row["task"], "seed": row["seed"], "reach": REACH[row["task"]], "ours s": mine,
        "return": row["ours"]["return"], "under the XML": row["ours"]["return under the XML"],
        "sb3 s": took and f"{more}{took:.0f}", "sooner by": took and f"{more}{took / mine:.1f} x",
    }  # fmt: skip


if __name__ == "__main__":
    main()
