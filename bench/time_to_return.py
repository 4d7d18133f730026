"""Seconds of training until a stated return, beside Stable-Baselines3's PPO with 8 environments.

  python bench/time_to_return.py                                    three tasks, three seeds
  python bench/time_to_return.py --seconds 3 --tasks half_cheetah --seeds 1 --no-peer    a trial

The clock is the wall-clock of training alone, without evaluations. The return is the mean of 8
deterministic episodes of at most 1000 steps, with the velocity as Gymnasium defines it and without
contact cost, on both sides. Ours is evaluated in the physics that it trains in (implicitfast for
walker2d and ant); beside it stands the return of the same policy under the integrator of Gymnasium's
XML. Ours has all cores. The peer is fastest on one core, so one seed runs on each core at the same
time. The peer stops after `factor` times our own seconds (`> seconds` in the table), and is not asked
where ours did not reach the return. Writes bench/results/time_to_return.json.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import common
import peers
import tyro

from reelward.runtime.workers import cores

REACH = {"half_cheetah": 3000.0, "walker2d": 3000.0, "ant": 2000.0}
"""The return to reach in each task."""


@dataclass(frozen=True)
class Args:
    tasks: tuple[str, ...] = ("half_cheetah", "walker2d", "ant")
    seeds: tuple[int, ...] = (1, 2, 3)
    seconds: float = 240.0
    """Training that has not reached the return by then is stopped."""
    factor: float = 10.0
    """How many times our own seconds the peer may take."""
    peer: bool = True
    """Whether to train with Stable-Baselines3 too."""


@dataclass(frozen=True)
class Ours:
    """One training of ours."""

    seconds: float | None
    """Until the return was reached; None if it was not."""
    env_steps: int
    reached: float
    """Return at the end."""
    under_xml: float
    """The same under the integrator of Gymnasium's XML."""
    curve: list[tuple[float, float]]
    """(seconds, return) of each evaluation."""


@dataclass(frozen=True)
class Row:
    task: str
    seed: int
    ours: Ours
    sb3: peers.Reached | None = None
    """None if the peer was not asked, or cannot be installed."""


def ours(name: str, seed: int, seconds: float) -> Ours:
    """Train until the return is reached, at most so many seconds."""
    task = common.TASKS[name]
    with tempfile.TemporaryDirectory() as folder:
        settings = common.preset(f"{name}-cpu", task.fast)
        learner = common.learner(task, settings, Path(folder), seed, threads=cores())
        (candidate,) = learner.candidates
        spent, reached, curve = 0.0, float("-inf"), []
        while spent < seconds and reached < REACH[name]:
            part = 0.0
            while part < max(1.0, seconds / 120):
                start = time.perf_counter()
                learner.collect()
                learner.update()
                part += time.perf_counter() - start
            spent += part
            reached = common.evaluate(candidate.policy, task, task.fast)
            curve.append((round(spent, 1), round(reached, 1)))
        under_xml = common.evaluate(candidate.policy, task, task.robot)
        first = spent if reached >= REACH[name] else None
        return Ours(first, candidate.env_steps, reached, under_xml, curve)


def columns(row: Row, factor: float) -> dict[str, str | float | None]:
    """A row of the printed table. Of a peer that was stopped, only a lower bound is known."""
    mine, peer = row.ours.seconds, row.sb3
    seconds, sooner = None, None
    if peer and mine:
        bound = "" if peer.seconds else "> "
        spent = peer.seconds or mine * factor
        seconds, sooner = f"{bound}{spent:.0f}", f"{bound}{spent / mine:.1f} x"
    return {
        "task": row.task, "seed": row.seed, "reach": REACH[row.task], "ours s": mine,
        "return": row.ours.reached, "under the XML": row.ours.under_xml,
        "sb3 s": seconds, "sooner by": sooner,
    }  # fmt: skip


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    machine = common.machine()
    rows: list[Row] = []

    def write() -> None:
        common.write("time_to_return", {"machine": machine, "reach": REACH, "rows": rows})

    for name in args.tasks:
        for seed in args.seeds:
            rows.append(Row(name, seed, ours(name, seed, args.seconds)))
            write()
    if args.peer and peers.python():  # installed here, before several threads need it

        def ask(row: Row) -> Row:
            if row.ours.seconds is None:
                return row
            task, cap = common.TASKS[row.task].gymnasium, args.factor * row.ours.seconds
            return replace(row, sb3=peers.time_to_return(task, REACH[row.task], cap, row.seed))

        with ThreadPoolExecutor(cores()) as pool:
            rows = list(pool.map(ask, rows))
        write()
    common.show("seconds of training to a return", [columns(row, args.factor) for row in rows])


if __name__ == "__main__":
    main()
