"""How many env-steps a second whole training does, and where its time goes, beside bare physics and
what others reach; all in one run, as ratios.

  python bench/throughput.py                      all robots, 3 repeats of 10 s
  python bench/throughput.py --seconds 3 --repeats 1 --robots half_cheetah --peers ""
  python bench/throughput.py --device cuda        on a GPU, with the implicitfast integrator
  python bench/throughput.py --cleanrl PATH       CleanRL's ppo_continuous_action too, from a checkout

physics   one process a core of mj_step on the same model and integrator: the ceiling
training  as many candidates as cores, each training alone (what the train stage does)
Prints a table and writes bench/results/throughput-DEVICE.json. Variants take turns, so that a busy
machine troubles all alike.
"""

from __future__ import annotations

import multiprocessing as mp
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import common
import mujoco
import numpy as np
import peers
import torch
import tyro

from reelward.runtime.workers import cores
from reelward.sim.robot import Robot, load_robot


@dataclass(frozen=True)
class Args:
    robots: tuple[str, ...] = ("half_cheetah", "ant", "humanoid")
    seconds: float = 10.0
    """of each measurement"""
    repeats: int = 3
    device: Literal["cpu", "cuda"] = "cpu"
    peers: str = "sb3,envpool"
    """of sb3, envpool; empty for none"""
    cleanrl: Path | None = None
    """a checkout of CleanRL, whose ppo_continuous_action is measured too"""


def bare(robot: Robot, seconds: float, seed: int) -> float:
    """Env-steps/s of mj_step under random actions, with the start states and falls of training."""
    model, rng = robot.mj_model, np.random.default_rng(seed)
    data, reset = mujoco.MjData(model), robot.reset
    low, high = model.actuator_ctrlrange.T
    actions = rng.uniform(low, high, (4096, model.nu))
    height, z = robot.healthy.height or (-np.inf, np.inf), model.body(robot.root).id
    limit, steps, age = round(robot.episode_s / robot.dt), 0, 10**9
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(64):
            if age >= limit or not height[0] < data.xpos[z, 2] < height[1]:
                mujoco.mj_resetData(model, data)
                data.qpos += rng.uniform(-reset.qpos_uniform, reset.qpos_uniform, model.nq)
                data.qvel += reset.qvel_normal * rng.standard_normal(model.nv)
                data.qvel += rng.uniform(-reset.qvel_uniform, reset.qvel_uniform, model.nv)
                mujoco.mj_forward(model, data)
                age = 0
            data.ctrl[:] = actions[steps & 4095]
            mujoco.mj_step(model, data, robot.substeps)
            steps, age = steps + 1, age + 1
    return steps / (time.perf_counter() - start)


def training(
    name: str, robot: str, settings: dict, seconds: float, candidates: int, threads: int,
    seed: int, gate: Any,
) -> dict[str, float]:  # fmt: skip
    """Env-steps/s of all candidates of one process and the microseconds an env-step of its parts,
    the reward's with the fields that it makes the state compute."""
    with tempfile.TemporaryDirectory() as folder:
        task = common.TASKS[name]
        learner = common.learner(task, robot, settings, Path(folder), seed, threads, candidates)
        watch, env = common.Stopwatch(), learner.env
        wait = torch.cuda.synchronize if settings["device"] == "cuda" else lambda: None
        for _ in range(2):
            learner.collect()
            learner.update()
        # On a GPU calls return before the work is done: there only the two halves are told apart.
        if settings["device"] == "cpu":
            env.physics.step = watch.around("physics", env.physics.step)  # type: ignore[method-assign]
            (only,) = learner.candidates
            only.reward.terms = watch.around("reward", only.reward.terms)
        collect, update = (
            watch.around("collect", learner.collect),
            watch.around("learning", learner.update),
        )
        gate.wait()
        wait()
        start, before = time.perf_counter(), done(learner)
        while time.perf_counter() - start < seconds:
            collect()
            update()
        wait()
        spent, steps = time.perf_counter() - start, done(learner) - before
    parts = watch.seconds
    assert all(parts.values()), f"expected every part to be called, got {parts}"
    inside = parts.pop("collect")
    parts["policy and rest"] = inside - parts.get("physics", 0.0) - parts.get("reward", 0.0)
    return {"rate": steps / spent} | {f"{k} us": v / steps * 1e6 for k, v in parts.items()}


def done(learner: common.train.Learner) -> int:
    """Env-steps of all candidates."""
    return sum(c.env_steps for c in learner.candidates)


def side_by_side(work: Callable[..., Any], count: int, *arguments: Any) -> list[Any]:
    """`work(*arguments, seed, gate)` in `count` processes at once, behind one gate."""
    context = mp.get_context("spawn")
    gate, answers = context.Barrier(count), context.SimpleQueue()
    made = [
        context.Process(target=_answer, args=(answers, work, *arguments, seed, gate))
        for seed in range(count)
    ]
    for p in made:
        p.start()
    found = [answers.get() for _ in made]
    for p in made:
        p.join()
    if failed := [a for a in found if isinstance(a, str)]:
        raise RuntimeError(failed[0])
    return found


def _answer(answers: Any, work: Callable[..., Any], *arguments: Any) -> None:
    try:
        answers.put(work(*arguments))
    except Exception as e:
        arguments[-1].abort()
        answers.put(f"{type(e).__name__}: {e}")


def _bare(robot: str, seconds: float, seed: int, gate: Any) -> float:
    loaded = load_robot(robot)
    gate.wait()
    return bare(loaded, seconds, seed)


def _bare_gpu(robot: str, settings: dict, seconds: float, seed: int, gate: Any) -> float:
    from reelward.sim.gpu import GpuPhysics

    loaded, n = load_robot(robot), settings["num_envs"]
    physics = GpuPhysics(loaded, n)

    def some() -> None:
        for _ in range(16):
            physics.ctrl.uniform_(-0.3, 0.3)
            physics.step(loaded.substeps)
        torch.cuda.synchronize()

    some()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        some()
        steps += 16 * n
    return steps / (time.perf_counter() - start)


def measure(name: str, args: Args) -> dict[str, Any]:
    """One round of one robot."""
    task, seconds = common.TASKS[name], args.seconds
    if args.device == "cuda":
        count, robot, settings = 1, task.fast, common.preset(f"{name}-gpu")
        ceiling = side_by_side(_bare_gpu, 1, robot, settings, seconds)
    else:
        count, robot, settings = cores(), task.robot, common.throughput(name)
        ceiling = side_by_side(_bare, count, robot, seconds)
    ours = side_by_side(training, count, name, robot, settings, seconds, 1, 1)
    row: dict[str, Any] = {"robot": robot, "bare physics": sum(ceiling)}
    row["training"] = sum(o["rate"] for o in ours)
    for part in (k for k in ours[0] if k.endswith(" us")):
        row[part] = sum(o[part] for o in ours) / len(ours) / count
    for peer in filter(None, args.peers.split(",")):
        answer = peers.ask(peer, task.gymnasium, "--seconds", seconds)
        row[peer] = answer and answer["rate"]
    if args.cleanrl:
        row["cleanrl"] = peers.cleanrl(args.cleanrl, task.gymnasium, seconds)
    return row


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    result: dict[str, Any] = {"machine": common.machine(), "seconds": args.seconds, "rows": []}
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in args.robots}
    for _ in range(args.repeats):
        for name in args.robots:
            rounds[name].append(measure(name, args))
    for made in rounds.values():
        row = {k: v if isinstance(v, str) else common.median([r[k] for r in made])
               for k, v in made[0].items()}  # fmt: skip
        row["of physics"] = row["training"] / row["bare physics"]
        for peer in ("sb3", "envpool", "cleanrl"):
            if row.get(peer):
                row[f"x {peer}"] = row["training"] / row[peer]
        result["rows"].append(row)
    common.show(
        f"env-steps/s on {args.device}, median of {args.repeats}; us an env-step of the whole",
        result["rows"],
    )
    common.write(f"throughput-{args.device}", result)


if __name__ == "__main__":
    main()
