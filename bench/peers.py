"""Other libraries on the same tasks, in virtual environments that never touch ours.

The benches call this file with the Python of `scratch/peers`, an environment that is created on first
use and sees our torch, Gymnasium and MuJoCo. CleanRL has an environment of its own, with the older
versions that it is written for. Each command prints one line of JSON.

  python bench/peers.py sb3 HalfCheetah-v5 --seconds 3         env-steps/s of PPO with 8 environments
  python bench/peers.py sb3-return HalfCheetah-v5 --reach 3000 --cap 600 --seed 1
  python bench/peers.py envpool HalfCheetah-v5 --seconds 3     env-steps/s of stepping, random actions
"""

from __future__ import annotations

import argparse
import json
import os
import site
import subprocess
import sys
import time
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HOME = Path("scratch/peers")
PACKAGES = ("stable-baselines3==2.9.2", "envpool==1.2.5")
CLEANRL = Path("scratch/cleanrl")
CLEANRL_PACKAGES = ("gymnasium==0.29.1", "mujoco==2.3.7", "numpy<2", "tensorboard")
ENVS = 8

# The tuned settings of PPO for each task (DLR-RM/rl-baselines3-zoo, hyperparams/ppo.yml, v3 tasks).
# There are none for Ant, which runs with Stable-Baselines3's defaults and normalised observations.
WIDE = {"log_std_init": -2, "ortho_init": False, "net_arch": {"pi": [256, 256], "vf": [256, 256]}}
TUNED: dict[str, dict[str, Any]] = {
    "HalfCheetah-v5": {
        "batch_size": 64, "n_steps": 512, "gamma": 0.98, "learning_rate": 2.0633e-05,
        "ent_coef": 0.000401762, "clip_range": 0.1, "n_epochs": 20, "gae_lambda": 0.92,
        "max_grad_norm": 0.8, "vf_coef": 0.58096, "policy_kwargs": WIDE,
    },
    "Walker2d-v5": {
        "batch_size": 32, "n_steps": 512, "gamma": 0.99, "learning_rate": 5.05041e-05,
        "ent_coef": 0.000585045, "clip_range": 0.1, "n_epochs": 20, "gae_lambda": 0.95,
        "max_grad_norm": 1, "vf_coef": 0.871923,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Reached:
    """A training that ran until a return was reached, or was stopped."""

    seconds: float | None
    """None if it was stopped."""
    env_steps: int
    curve: list[tuple[float, float]]
    """(seconds, return) of each evaluation."""


def python(home: Path = HOME, packages: tuple[str, ...] = PACKAGES) -> Path | None:
    """The Python of the peers' environment, which is created if it is missing; None if the packages
    cannot be installed."""
    interpreter = home.absolute() / "bin/python"
    ready = home / "ready"
    if not ready.exists():
        venv.create(home, with_pip=True, clear=True)
        packages_folder = next((home / "lib").glob("python*/site-packages"))
        (packages_folder / "ours.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        quiet = ("-q", "--disable-pip-version-check", "--no-warn-conflicts")  # with our packages
        command = [str(interpreter), "-m", "pip", "install", *quiet, *packages]
        if subprocess.run(command).returncode:
            print("the peers cannot be installed and are left out", file=sys.stderr)
            return None
        ready.touch()
    return interpreter


def _ask(*arguments: object) -> Any:
    """The JSON that a command of this file prints, run by the peers' Python; None if it fails."""
    interpreter = python()
    if interpreter is None:
        return None
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [str(interpreter), __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def rate(peer: str, task: str, seconds: float) -> float | None:
    """Env-steps/s of `peer`, sb3 or envpool; None if it cannot be measured."""
    return _ask(peer, task, "--seconds", seconds)


def time_to_return(task: str, reach: float, cap: float, seed: int) -> Reached | None:
    """A training by Stable-Baselines3, see `sb3_return`; None if it cannot be installed."""
    answer = _ask("sb3-return", task, "--reach", reach, "--cap", cap, "--seed", seed)
    return Reached(**answer) if answer else None


def _make(task: str) -> Any:
    import gymnasium

    options: dict[str, Any] = (
        {"contact_cost_weight": 0.0} if task in ("Ant-v5", "Humanoid-v5") else {}
    )
    return gymnasium.make(task, **options)


def sb3(task: str, seconds: float) -> float:
    """Env-steps/s of whole training at Stable-Baselines3's defaults, with one torch thread, which is
    its fastest."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    torch.set_num_threads(1)
    envs = DummyVecEnv([lambda: _make(task)] * ENVS)
    model = PPO("MlpPolicy", envs, n_steps=2048 // ENVS, device="cpu")
    model.learn(2048)
    start, before = time.perf_counter(), model.num_timesteps
    while time.perf_counter() - start < seconds:
        model.learn(2048, reset_num_timesteps=False)
    return (model.num_timesteps - before) / (time.perf_counter() - start)


def sb3_return(task: str, reach: float, cap: float, seed: int) -> Reached:
    """Train until the mean return of 8 deterministic episodes is `reach`, at most `cap` seconds. The
    evaluations, about 25 in `cap`, are not counted."""
    import gymnasium
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    torch.set_num_threads(1)
    settings = dict(TUNED.get(task, {}))
    if settings.get("policy_kwargs"):
        settings["policy_kwargs"] |= {"activation_fn": torch.nn.ReLU}
    envs = VecNormalize(
        DummyVecEnv([lambda: _make(task)] * ENVS), gamma=settings.get("gamma", 0.99)
    )
    model = PPO("MlpPolicy", envs, seed=seed, device="cpu", **settings)
    judge: gymnasium.Env = _make(task)
    spent, curve = 0.0, []
    while spent < cap:
        part = 0.0
        while part < cap / 25:
            start = time.perf_counter()
            model.learn(model.n_steps * ENVS, reset_num_timesteps=False)
            part += time.perf_counter() - start
        spent += part
        returns = []
        for episode in range(8):
            obs, _ = judge.reset(seed=episode)
            total, over = 0.0, False
            while not over:
                action, _ = model.predict(envs.normalize_obs(obs), deterministic=True)
                obs, reward, terminated, truncated, _ = judge.step(action)
                total, over = total + float(reward), terminated or truncated
            returns.append(total)
        curve.append((round(spent, 1), round(sum(returns) / 8, 1)))
        if curve[-1][1] >= reach:
            return Reached(spent, model.num_timesteps, curve)
    return Reached(None, model.num_timesteps, curve)


def envpool(task: str, seconds: float, envs: int = 64) -> float:
    """Env-steps/s of envpool's physics under random actions."""
    import envpool as peer
    import numpy as np

    threads = len(os.sched_getaffinity(0))
    pool = peer.make(task, env_type="gymnasium", num_envs=envs, num_threads=threads)
    pool.reset()
    low, high = pool.action_space.low, pool.action_space.high
    actions = np.random.default_rng(0).uniform(low, high, (64, envs, *low.shape))
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        pool.step(actions[steps % 64])
        steps += 1
    return steps * envs / (time.perf_counter() - start)


def cleanrl(checkout: Path, task: str, seconds: float) -> float | None:
    """Env-steps/s of CleanRL's ppo_continuous_action at its defaults (one environment), from the
    `SPS:` lines that it prints; None if it fails. Its Gymnasium has the tasks up to v4."""
    interpreter = python(CLEANRL, CLEANRL_PACKAGES)
    if interpreter is None:
        return None
    script = checkout.absolute() / "cleanrl/ppo_continuous_action.py"
    steps = 2048 * max(2, round(seconds / 4))
    command = [interpreter, script, "--env-id", task.replace("-v5", "-v4")]
    done = subprocess.run(
        [*map(str, command), "--total-timesteps", str(steps)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=CLEANRL,
    )  # fmt: skip
    rates = [float(x.split()[1]) for x in done.stdout.splitlines() if x.startswith("SPS:")]
    return rates[-1] if done.returncode == 0 and rates else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("sb3", "sb3-return", "envpool"))
    parser.add_argument("task")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--reach", type=float, default=3000.0)
    parser.add_argument("--cap", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    answer: Any
    if a.what == "sb3":
        answer = sb3(a.task, a.seconds)
    elif a.what == "sb3-return":
        answer = asdict(sb3_return(a.task, a.reach, a.cap, a.seed))
    else:
        answer = envpool(a.task, a.seconds)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
