"""Train one policy for each candidate reward with PPO.

reads   rewards/        c0.py ..., index.json: the candidates, and from where each starts
        parent/         policy.pt: where a warm start begins
writes  policies/       c0.pt ..., c0.csv ...: policy and learning curve of each candidate
        policies/index.json   env-steps of each, or why it failed

PPO (Schulman et al. 2017, arXiv 1707.06347) with the details that matter for continuous control
(Andrychowicz et al. 2021, arXiv 2006.05990; Huang et al. 2022, "The 37 implementation details of
PPO"): orthogonal initialisation, normalised and clipped observations, rewards scaled by the
deviation of the discounted return, advantages normalised in each minibatch, value bootstrap at
time limits but not at falls, linear decay of the learning rate, gradient norm clipped.

Work is counted in env-steps, never in seconds: on one kind of machine a seed repeats to the byte.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from reelward import files, stage
from reelward.language import RewardError, Watch, compile_reward, native_terms, read_native
from reelward.policy import Policy
from reelward.sim.checkpoint import Checkpoints
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env, Physics
from reelward.sim.robot import ROBOTS, Robot, load_robot
from reelward.sim.workers import cores, spread

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

MAX_WILD = 0.001
"""share of steps with a term that is not finite, or with diverged physics, that ends a training"""


@dataclass(frozen=True)
class Args:
    rewards: Path
    """folder of the candidate rewards"""
    parent: Path
    """the parent's best: policy.pt"""
    out: stage.Out
    """folder to create"""
    robot: str
    """robots/NAME"""
    native: Path
    """params.yaml: its section `native` names the user's own terms"""
    seed: Annotated[int, Field(ge=0)]
    """of the study; each candidate adds its own"""
    env_steps: Positive
    """work of a candidate that starts from scratch"""
    warm_env_steps: Positive
    """work of a candidate that starts from the parent's policy"""
    device: Literal["cpu", "cuda"]
    """the kind of device that the sizes below are made for; another one is refused"""
    num_envs: Positive
    """environments stepped together"""
    num_steps: Positive
    """steps of each in a batch"""
    num_minibatches: Positive
    """minibatches an epoch"""
    update_epochs: Positive
    """passes over a batch"""
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    """Adam's, at the start"""
    warm_learning_rate: Annotated[float, Field(gt=0, le=1)]
    """the same for a warm start"""
    final_learning_rate: Fraction
    """fraction of the learning rate reached linearly at the end"""
    gamma: Fraction
    """discount a step"""
    gae_lambda: Fraction
    """of generalised advantage estimation"""
    clip: Annotated[float, Field(gt=0, lt=1)]
    """range of the probability ratio"""
    value_coef: Annotated[float, Field(ge=0)]
    """weight of the value loss"""
    max_grad_norm: Annotated[float, Field(gt=0)]
    """gradient clipping"""
    init_std: Annotated[float, Field(gt=0, le=2)]
    """standard deviation of the actions at the start"""
    warm_min_std: Annotated[float, Field(gt=0, le=2)]
    """a warm start explores at least this much"""
    final_std: Annotated[float, Field(gt=0, le=2)]
    """the deviation is held below a line that ends here: rollouts are deterministic, and a gait
    learned under much noise is another one without"""
    hidden: Positive
    """width of the two hidden layers"""
    symmetric: bool
    """left and right are one policy, exchanged every half gait cycle"""


@dataclass(frozen=True)
class Job:
    """One candidate's training, complete: a worker needs nothing else."""

    name: str
    reward: Path
    start: Path | None
    """policy to continue from"""
    seed: int
    out: Path
    """folder that receives NAME.pt and NAME.csv"""
    scratch: Path
    """folder of the checkpoints, named by a digest of all that defines the training"""
    args: Args
    threads: int = 1
    """that step the physics: whatever their number, the bytes are the same"""


@dataclass
class Batch:
    """What the environments did with one policy, each `[T, N, ...]`."""

    obs: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    next_values: Tensor
    """value of the state that the step reached"""
    terminated: Tensor
    truncated: Tensor

    @classmethod
    def empty(cls, steps: int, envs: int, obs: int, actions: int, device: torch.device) -> Batch:
        shapes: tuple[tuple[int, ...], ...] = ((obs,), (actions,), (), (), (), (), (), ())
        return cls(*(torch.zeros(steps, envs, *s, device=device) for s in shapes))


def gae(batch: Batch, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438) -> `[T, N]`.

    A fall (`terminated`) has no future; a time limit (`truncated`) has one, its value, but the row
    after it belongs to another episode.
    """
    delta = batch.rewards + gamma * batch.next_values * (1 - batch.terminated) - batch.values
    goes_on = (1 - batch.terminated) * (1 - batch.truncated)
    advantages, last = torch.zeros_like(delta), torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        last = delta[t] + gamma * lam * goes_on[t] * last
        advantages[t] = last
    return advantages


def log_prob(mean: Tensor, log_std: Tensor, actions: Tensor) -> Tensor:
    """Of `actions [..., A]` under a diagonal Gaussian -> `[...]`."""
    z = (actions - mean) * (-log_std).exp()
    return -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1) - log_std.sum()


def simulate(robot: Robot, args: Args, threads: int) -> Physics:
    if args.device == "cpu":
        return CpuPhysics(robot, args.num_envs, threads)
    from reelward.sim.gpu import GpuPhysics  # Warp takes its time

    return GpuPhysics(robot, args.num_envs)


class Learner:
    """PPO on one reward. `state` is everything that the next update depends on.

    On a GPU nothing is read back while the batch is filled or the policy improved, only the figures
    at the end of each: the device never waits.
    """

    def __init__(self, job: Job) -> None:
        args, robot = job.args, load_robot(job.args.robot)
        torch.manual_seed(job.seed)
        self.args = args
        native = native_terms(read_native(args.native))
        self.reward = compile_reward(job.reward.read_text(), robot.fields, native=native)
        self.watch = Watch(self.reward, MAX_WILD)
        self.env = Env(
            robot,
            simulate(robot, args, job.threads),
            seed=job.seed,
            period=self.reward.period,
            symmetric=args.symmetric,
            staggered=True,
        )
        device = self.env.device
        self.rng = torch.Generator(device).manual_seed(job.seed)
        obs, actions = self.env.observe().shape[1], self.env.action.shape[1]
        if job.start is None:
            self.policy = Policy.new(obs, actions, args.hidden, args.init_std)
            self.learning_rate, self.total = args.learning_rate, args.env_steps
        else:
            self.policy = Policy.load(files.verified(job.start))
            self.policy.keep_exploring(args.warm_min_std)
            self.learning_rate, self.total = args.warm_learning_rate, args.warm_env_steps
        self.policy.about |= {
            "robot": robot.name,
            "symmetric": args.symmetric,
            "reward": self.reward.digest,
        }
        self.policy.to(device)
        self.first_std = self.policy.log_std.detach().exp().max().item()
        self.adam = torch.optim.Adam(
            self.policy.parameters(), lr=self.learning_rate, eps=1e-5, fused=True
        )
        self.batch = Batch.empty(args.num_steps, args.num_envs, obs, actions, device)
        self.seen = torch.zeros_like(self.batch.obs)
        self.discounted = torch.zeros(args.num_envs, device=device)
        self.episode = torch.zeros(2, args.num_envs, device=device)
        """return and length so far of the running episodes"""
        self.env_steps = 0
        self.curve: list[dict[str, float]] = []

    @torch.no_grad()
    def collect(self) -> dict[str, float]:
        """Fill the batch. Returns its figures: term means, returns and lengths of the episodes
        that ended, falls. Raises TrainingError when a term or the physics goes wild."""
        policy, env, b, args = self.policy, self.env, self.batch, self.args
        std = policy.log_std.exp()
        term_sum = torch.zeros(len(self.reward.terms), device=env.device)
        lost = torch.zeros((), device=env.device)
        episodes = torch.zeros(2, *b.rewards.shape, device=env.device)
        means = torch.zeros_like(b.actions)
        for t in range(args.num_steps):
            self.seen[t] = env.observe()
            b.obs[t] = policy.normalise(self.seen[t])
            means[t] = policy.actor(b.obs[t])
            noise = torch.randn(means[t].shape, generator=self.rng, device=env.device)
            b.actions[t] = means[t] + std * noise

            terminated, truncated = env.step(b.actions[t])
            b.terminated[t], b.truncated[t] = terminated, truncated
            terms = self.watch.masked(self.reward(env.fields))  # [terms, N]
            lost += env.physics.diverged.sum()
            reward = torch.where(env.physics.diverged, 0.0, terms.sum(0))
            term_sum += terms.mean(1)
            self.discounted = self.discounted * args.gamma + reward
            policy.returns.update(self.discounted[:, None])
            scale = (policy.returns.var + 1e-8).rsqrt().float()
            b.rewards[t] = (reward * scale).clamp(-10, 10)
            self.episode += torch.stack((reward, torch.ones_like(reward)))
            episodes[:, t] = self.episode

            if len(cut := env.rows(truncated)):
                final = policy.normalise(env.observe()[cut])
                b.next_values[t, cut] = policy.critic(final).squeeze(1)
            ended = terminated | truncated
            self.episode.masked_fill_(ended, 0.0)
            self.discounted.masked_fill_(ended, 0.0)
            env.reset(ended)
        # What no step waits for is cheaper for all of them at once.
        b.log_probs = log_prob(means, policy.log_std, b.actions)
        b.values = policy.critic(b.obs).squeeze(-1)
        last = policy.critic(policy.normalise(env.observe())).squeeze(1)
        after = torch.cat((b.values[1:], last[None]))
        b.next_values = torch.where(b.truncated > 0, b.next_values, after)
        policy.obs.update(self.seen.flatten(0, 1))
        self.env_steps += args.num_steps * args.num_envs
        try:
            self.watch.check()
        except RewardError as e:
            raise stage.TrainingError(str(e)) from e
        if (share := lost.item() / b.rewards.numel()) > MAX_WILD:
            raise stage.TrainingError(f"the physics diverged in {share:.2%} of the steps")
        figures = dict(zip(self.reward.terms, (term_sum / args.num_steps).tolist(), strict=True))
        # Means over the episodes that ended; NaN where none did.
        ret, length = episodes[:, (b.terminated + b.truncated) > 0].mean(1).tolist()
        return {
            "return": ret,
            "episode_length": length,
            "falls": float(b.terminated.sum()),
            **{f"term/{name}": value for name, value in figures.items()},
        }

    def update(self) -> dict[str, float]:
        """Improve the policy on the batch: clipped surrogate and value regression."""
        b, args, policy = self.batch, self.args, self.policy
        left = max(1 - self.env_steps / self.total, 0.0)
        for group in self.adam.param_groups:
            floor = args.final_learning_rate
            group["lr"] = self.learning_rate * (floor + (1 - floor) * left)
        advantages = gae(b, args.gamma, args.gae_lambda)
        columns = (b.log_probs, advantages, advantages + b.values)
        rows = torch.cat((b.obs, b.actions, *(c[..., None] for c in columns)), -1).flatten(0, 1)
        widths = (b.obs.shape[-1], b.actions.shape[-1], 1, 1, 1)
        parameters = policy.parameters()
        for _ in range(args.update_epochs):
            order = torch.randperm(len(rows), generator=self.rng, device=rows.device)
            for minibatch in rows[order].chunk(args.num_minibatches):
                obs, actions, old, adv, ret = minibatch.split(widths, 1)
                new = log_prob(policy.actor(obs), policy.log_std, actions)
                ratio = (new - old[:, 0]).exp()
                adv = (adv[:, 0] - adv.mean()) / (adv.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                policy_loss = -torch.minimum(adv * ratio, adv * clipped).mean()
                value_loss = ((policy.critic(obs) - ret) ** 2).mean()
                self.adam.zero_grad()
                (policy_loss + args.value_coef * value_loss).backward()
                nn.utils.clip_grad_norm_(parameters, args.max_grad_norm, foreach=True)
                self.adam.step()
        with torch.no_grad():
            most = args.final_std + (self.first_std - args.final_std) * left
            policy.log_std.clamp_(max=math.log(most))
            log_ratio = new - old[:, 0]
            figures = {
                "approx_kl": (log_ratio.exp() - 1 - log_ratio).mean(),
                "clip_fraction": ((ratio - 1).abs() > args.clip).float().mean(),
                "value_loss": value_loss,
                "std": policy.log_std.exp().mean(),
            }
            return dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        return {
            "policy": self.policy.state(),
            "adam": self.adam.state_dict(),
            "env": self.env.state_dict(),
            "rng": self.rng.get_state(),
            "discounted": self.discounted,
            "episode": self.episode,
            "env_steps": self.env_steps,
            "curve": self.curve,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.policy.load_state(state["policy"])
        self.adam.load_state_dict(state["adam"])
        self.env.load_state_dict(state["env"])
        self.rng.set_state(state["rng"])
        self.discounted, self.episode = (
            state[name].to(self.env.device) for name in ("discounted", "episode")
        )
        self.env_steps, self.curve = state["env_steps"], state["curve"]


def learn(job: Job, report: Callable[[int], None]) -> None:
    """Train one candidate to the end, from its newest checkpoint if there is one."""
    learner = Learner(job)
    checkpoints = Checkpoints(job.scratch)
    if (state := checkpoints.newest()) is not None:
        learner.load_state(state)
    every = float(stage.how("checkpoint_s", 20.0))
    due = time.monotonic() + every
    while learner.env_steps < learner.total:
        figures = learner.collect() | learner.update()
        learner.curve.append({"env_steps": learner.env_steps} | figures)
        report(learner.env_steps)
        if time.monotonic() > due or learner.env_steps >= learner.total:
            checkpoints.save(learner.env_steps, learner.state())
            due = time.monotonic() + every
    learner.policy.about["env_steps"] += learner.env_steps
    learner.policy.save(job.out / f"{job.name}.pt")
    with open(job.out / f"{job.name}.csv", "w", newline="") as f:
        rows = csv.DictWriter(f, learner.curve[0], lineterminator="\n")
        rows.writeheader()
        rows.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in learner.curve)


def jobs(args: Args, candidates: list[dict[str, Any]], out: Path) -> list[Job]:
    """The trainings to do, the longest first so that the cores end together."""
    todo = []
    threads = max(1, cores() // max(1, len(candidates)))
    for c in candidates:
        start = args.parent / "policy.pt" if c["start"] == "warm" else None
        reward = args.rewards / c["file"]
        seed = args.seed + c["seed"]
        key = {k: v for k, v in asdict(args).items() if not isinstance(v, Path)} | {
            "reward": files.digest(reward),
            "native": read_native(args.native),
            "start": start and files.digest(start),
            "seed": seed,
            "robot": files.digest(ROBOTS / args.robot),
            "code": code_digest(),
            "torch": torch.__version__,
        }
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        scratch = Path("scratch/checkpoints") / name[:16]
        todo.append(Job(c["name"], reward, start, seed, out, scratch, args, threads))
    return sorted(todo, key=lambda job: job.start is not None)


def code_digest() -> str:
    """Of the code that a checkpoint's continuation depends on."""
    here = Path(__file__)
    package = here.parents[1] / "reelward"
    parts = (here, package / "policy.py", package / "sim", package / "language")
    return hashlib.sha256("".join(map(files.digest, parts)).encode()).hexdigest()


def main(args: Args) -> None:
    index = files.read_json(args.rewards / "index.json")["candidates"]
    valid = [c for c in index if c["file"]]
    load_robot(args.robot)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise stage.ResourceError(
            "train.device: cuda expected a CUDA GPU, found none; take a preset made for the CPU"
        )
    with files.new_folder(args.out) as out:
        todo = jobs(args, valid, out)
        steps = [args.env_steps if j.start is None else args.warm_env_steps for j in todo]
        with stage.progress(sum(steps), f"training {len(todo)} candidates") as bar:
            # One candidate fills a GPU: there they go one after another.
            processes = cores() if args.device == "cpu" else 1
            failed = spread(learn, todo, processes, lambda done: bar.update(sum(done)))
        reasons = {job.name: reason for job, reason in zip(todo, failed, strict=True)}
        if todo and all(failed):
            raise stage.TrainingError(f"every candidate failed; the first: {failed[0]}")
        files.write_json(
            out / "index.json",
            {"candidates": [c | {"error": c["error"] or reasons.get(c["name"])} for c in index]},
        )


if __name__ == "__main__":
    stage.run(main, Args)
