"""Env-steps a second of whole training, beside bare physics and other libraries.

  python bench/throughput.py                      all robots, 3 repeats of 10 s
  python bench/throughput.py --seconds 3 --repeats 1 --robots half_cheetah --peers ""
  python bench/throughput.py --device cuda        on a GPU, with the implicitfast integrator
  python bench/throughput.py --cleanrl PATH       CleanRL's ppo_continuous_action too, from a checkout

bare physics  one process a core of mj_step on the same model and integrator: the upper limit
training      as many candidates as cores, each alone in a process, as the train stage does it

Prints a table and writes bench/results/throughput-DEVICE.json. All variants are measured in turn in
each repeat, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import common
import mujoco
import numpy as np
import peers
import torch
import tyro
from parallel import Gate, side_by_side

from reelward.runtime.workers import cores
from reelward.sim.env import Env
from reelward.sim.robot import load_mjcf
from stages import train


@dataclass(frozen=True)
class Args:
    robots: tuple[str, ...] = ("half_cheetah", "ant", "humanoid")
    """Names of tasks in common.TASKS."""
    seconds: float = 10.0
    """Length of each measurement."""
    repeats: int = 3
    device: Literal["cpu", "cuda"] = "cpu"
    peers: str = "sb3,envpool"
    """Other libraries to measure, of sb3 and envpool; empty for none."""
    cleanrl: Path | None = None
    """A checkout of CleanRL, to measure its ppo_continuous_action too."""


@dataclass(frozen=True)
class Work:
    """A training to measure."""

    task: str
    args: train.Args
    seconds: float
    candidates: int = 1
    """In one process."""
    threads: int = 1
    """Of the physics."""


@dataclass(frozen=True)
class Speed:
    """Of the trainings of one process."""

    rate: float
    """Env-steps a second."""
    parts: dict[str, float]
    """Microseconds an env-step, by part of the work."""


def training(work: Work, seed: int, gate: Gate) -> Speed:
    """Measure a training. The part `reward` includes the fields that the reward reads."""
    with tempfile.TemporaryDirectory() as folder:
        task, args = common.TASKS[work.task], work.args
        learner = common.learner(task, args, Path(folder), seed, work.threads, work.candidates)
        watch, env = common.Stopwatch(), learner.env
        wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
        for _ in range(2):
            learner.collect()
            learner.update()
        # On a GPU calls return before the work is done: only collect and update can be told apart.
        if args.device == "cpu":
            assert isinstance(env, Env)
            env.physics.step = watch.around("physics", env.physics.step)  # type: ignore[method-assign]
            (only,) = learner.candidates
            only.reward.terms = watch.around("reward", only.reward.terms)
        collect = watch.around("collect", learner.collect)
        update = watch.around("learning", learner.update)
        gate.wait()
        wait()
        start, before = time.perf_counter(), env_steps(learner)
        while time.perf_counter() - start < work.seconds:
            collect()
            update()
        wait()
        spent, steps = time.perf_counter() - start, env_steps(learner) - before
    parts = watch.seconds
    assert all(parts.values()), f"expected every part to be called, got {parts}"
    collecting = parts.pop("collect")
    parts["policy and rest"] = collecting - parts.get("physics", 0.0) - parts.get("reward", 0.0)
    return Speed(steps / spent, {name: s / steps * 1e6 for name, s in parts.items()})


def env_steps(learner: train.Learner) -> int:
    """Env-steps of all candidates."""
    return sum(c.env_steps for c in learner.candidates)


def bare_physics(robot_name: str, seconds: float, seed: int, gate: Gate) -> float:
    """Env-steps a second of mj_step under random actions, with the start states and falls of
    training."""
    robot = load_mjcf(robot_name)
    model, rng = robot.mj_model, np.random.default_rng(seed)
    data, reset = mujoco.MjData(model), robot.reset
    low, high = model.actuator_ctrlrange.T
    actions = rng.uniform(low, high, (4096, model.nu))
    height, z = robot.healthy.height or (-np.inf, np.inf), model.body(robot.root).id
    limit, steps, age = round(robot.episode_s / robot.dt), 0, 10**9
    gate.wait()
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


def bare_physics_on_gpu(robot_name: str, n: int, seconds: float, seed: int, gate: Gate) -> float:
    """The same of mujoco_warp with N environments, without resets."""
    from reelward.sim.gpu import GpuPhysics

    robot = load_mjcf(robot_name)
    physics = GpuPhysics(robot, n)

    def sixteen_steps() -> None:
        for _ in range(16):
            physics.ctrl.uniform_(-0.3, 0.3)
            physics.step(robot.substeps)
        torch.cuda.synchronize()

    sixteen_steps()
    gate.wait()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        sixteen_steps()
        steps += 16 * n
    return steps / (time.perf_counter() - start)


Row = dict[str, Any]
"""A row of the table: the robot, then figures by column, None where a peer could not be measured."""


def measure(name: str, args: Args) -> Row:
    """One repeat of one robot."""
    task, seconds = common.TASKS[name], args.seconds
    if args.device == "cuda":
        count, settings = 1, common.preset(f"{name}-gpu", task.fast)
        limit = side_by_side(
            bare_physics_on_gpu, 1, settings.robot, settings.num_envs, seconds
        )  # fmt: skip
    else:
        count, settings = cores(), common.fastest(name, task.robot)
        limit = side_by_side(bare_physics, count, settings.robot, seconds)
    speeds = side_by_side(training, count, Work(name, settings, seconds))
    row: Row = {"robot": settings.robot, "bare physics": sum(limit)}
    row["training"] = sum(s.rate for s in speeds)
    for part in speeds[0].parts:
        row[f"{part} us"] = sum(s.parts[part] for s in speeds) / len(speeds) / count
    for peer in filter(None, args.peers.split(",")):
        row[peer] = peers.rate(peer, task.gymnasium, seconds)
    if args.cleanrl:
        row["cleanrl"] = peers.cleanrl(args.cleanrl, task.gymnasium, seconds)
    return row


def summary(repeats: list[Row]) -> Row:
    """Medians over the repeats, and ratios of them."""
    figures = {k: common.median(r[k] for r in repeats) for k in repeats[0] if k != "robot"}
    training_rate, limit = figures["training"], figures["bare physics"]
    assert training_rate and limit
    ratios = {"of physics": training_rate / limit}
    for peer in ("sb3", "envpool", "cleanrl"):
        if rate := figures.get(peer):
            ratios[f"x {peer}"] = training_rate / rate
    return {"robot": repeats[0]["robot"]} | figures | ratios


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    machine = common.machine()
    repeats: dict[str, list[Row]] = {name: [] for name in args.robots}
    for _ in range(args.repeats):
        for name in args.robots:
            repeats[name].append(measure(name, args))
    rows = [summary(of_robot) for of_robot in repeats.values()]
    common.show(
        f"env-steps/s on {args.device}, median of {args.repeats}; us an env-step of the whole", rows
    )
    result = {"machine": machine, "seconds": args.seconds, "rows": rows}
    common.write(f"throughput-{args.device}", result)


if __name__ == "__main__":
    main()
