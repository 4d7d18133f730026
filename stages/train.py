"""Train one policy for each candidate reward with PPO.

reads   rewards/        c0.py ..., index.json: the candidates, and from where each starts;
                        whether the expert's legs alternate
        parent/         policy.pt: where a warm start begins
writes  policies/       c0.pt ..., c0.csv ...: policy and learning curve of each candidate
        policies/index.json   the candidates, and why one failed

PPO (Schulman et al. 2017, arXiv 1707.06347) with the details that matter for continuous control
(Andrychowicz et al. 2021, arXiv 2006.05990; Huang et al. 2022, "The 37 implementation details of
PPO"): orthogonal initialisation, normalised and clipped observations, rewards scaled by the
deviation of the discounted return, advantages normalised in each minibatch, value bootstrap at
time limits but not at falls, linear decay of the learning rate, gradient norm clipped.

Work is counted in env-steps, never in seconds: on one kind of CPU a seed repeats to the byte. (On a
GPU contacts are found in no fixed order.)
"""

from __future__ import annotations

import csv
import gc
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from reelward.language import RewardError, Watch, compile_reward, native_terms, read_native
from reelward.policy import Activation, Policies, Policy
from reelward.runtime import files
from reelward.runtime.checkpoints import Checkpoints
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError, ResourceError, StageError, TrainingError
from reelward.runtime.progress import progress
from reelward.runtime.settings import setting
from reelward.runtime.workers import cores, spread
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env, Physics
from reelward.sim.robot import ROBOTS, Robot, load_robot

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
    out: Out
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
    """environments of a candidate, stepped together"""
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
    activation: Activation
    """after each of them"""
    symmetric: bool
    """left and right are one policy, exchanged every half gait cycle, where the expert's legs
    alternate"""


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
    """What C candidates' N environments did with one policy each, `[T, C, N, ...]`."""

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
    def empty(cls, *size: int, obs: int, actions: int, device: torch.device) -> Batch:
        shapes: tuple[tuple[int, ...], ...] = ((obs,), (actions,), (), (), (), (), (), ())
        return cls(*(torch.zeros(*size, *s, device=device) for s in shapes))


def gae(batch: Batch, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438) -> `[T, ...]`.

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
    return -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1) - log_std.sum(-1)


def simulate(robot: Robot, n: int, device: str, threads: int) -> Physics:
    if device == "cpu":
        return CpuPhysics(robot, n, threads)
    from reelward.sim.gpu import GpuPhysics  # Warp takes its time

    return GpuPhysics(robot, n)


class Candidate:
    """What a candidate has for itself: its reward, policy, optimiser and random numbers."""

    def __init__(self, job: Job, robot: Robot) -> None:
        self.job = job
        native = native_terms(read_native(job.args.native))
        self.reward = compile_reward(job.reward.read_text(), robot.fields, native=native)
        self.watch = Watch(self.reward, MAX_WILD)
        self.env_steps = 0
        self.curve: list[dict[str, float]] = []
        self.error: TrainingError | None = None
        self.terms: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = self.reward

    def graph(self, fields: Mapping[str, Tensor]) -> None:
        """Its reward as a CUDA graph, unless it has terms of the user's own: those may do anything."""
        from reelward.sim.gpu import graphed

        names = sorted(self.reward.inputs)
        if names and not any(node.op == "native" for node in self.reward.nodes):
            given = (fields[n] for n in names)
            call = graphed(
                self.job.name, lambda *x: self.reward(dict(zip(names, x, strict=True))), *given
            )
            self.terms = lambda now: call(*(now[n] for n in names))

    def begin(self, obs: int, actions: int, device: torch.device) -> None:
        job, args = self.job, self.job.args
        self.rng = torch.Generator(device).manual_seed(job.seed)
        if job.start is None:
            torch.manual_seed(job.seed)
            self.policy = Policy.new(obs, actions, args.hidden, args.init_std, args.activation)
            self.learning_rate, self.total = args.learning_rate, args.env_steps
        else:
            self.policy = Policy.load(files.verified(job.start))
            has = {k: self.policy.about[k] for k in ("hidden", "activation")}
            if has != (asked := {k: getattr(args, k) for k in has}):
                raise InputError(
                    f"{job.start}: expected a network of {asked}, got {has}; set train to those"
                )
            self.policy.keep_exploring(args.warm_min_std)
            self.learning_rate, self.total = args.warm_learning_rate, args.warm_env_steps
        self.policy.about |= {
            "robot": args.robot,
            "symmetric": args.symmetric,
            "reward": self.reward.digest,
        }
        self.policy.to(device)
        self.first_std = self.policy.log_std.detach().exp().max().item()
        self.adam = torch.optim.Adam(
            self.policy.parameters(), lr=self.learning_rate, eps=1e-5, fused=True
        )
        self.term_sum = torch.zeros(len(self.reward.terms), device=device)

    def rewarded(self, fields: Mapping[str, Tensor], diverged: Tensor) -> Tensor:
        """The sum of its terms `[N]`. Marks the candidate where a term of the user's own fails."""
        try:
            terms = self.watch.masked(self.terms(fields))  # [terms, N]
        except RewardError as e:
            self.error = TrainingError(str(e))
            return torch.zeros(len(diverged), device=diverged.device)
        self.term_sum += terms.mean(1)
        return torch.where(diverged, 0.0, terms.sum(0))

    def scale(self, discounted: Tensor) -> Tensor:
        """`[1]`, of the rewards, after discounted returns `[N]` were seen."""
        self.policy.returns.update(discounted[:, None])
        return (self.policy.returns.var + 1e-8).rsqrt().float()

    def judge(self, lost: float) -> None:
        """Stop it where a term, or the physics in the share `lost` of the steps, went wild."""
        try:
            self.watch.check()
        except RewardError as e:
            self.error = TrainingError(str(e))
        if lost > MAX_WILD:
            self.error = TrainingError(f"the physics diverged in {lost:.2%} of the steps")

    @property
    def left(self) -> float:
        """Share of its env-steps that is still to come."""
        return max(1 - self.env_steps / self.total, 0.0)

    @property
    def ended(self) -> bool:
        return self.error is not None or self.env_steps >= self.total

    def save(self) -> None:
        self.policy.about["env_steps"] += self.env_steps
        self.policy.save(self.job.out / f"{self.job.name}.pt")
        with open(self.job.out / f"{self.job.name}.csv", "w", newline="") as f:
            rows = csv.DictWriter(f, self.curve[0], lineterminator="\n")
            rows.writeheader()
            rows.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in self.curve)


class Learner:
    """PPO on the rewards of C candidates at once, each as if it were alone: on a CPU it is (C = 1, a
    process a core); on a GPU one simulation, and one batched product a layer, are for all of them.

    On a GPU nothing is read back while the batch is filled or the policy improved, only the figures
    at the end of each: the device never waits.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        args, robot = jobs[0].args, load_robot(jobs[0].args.robot)
        self.args, self.candidates = args, [Candidate(job, robot) for job in jobs]
        self.env = Env(
            robot,
            simulate(robot, len(jobs) * args.num_envs, args.device, jobs[0].threads),
            seed=[job.seed for job in jobs],
            period=[c.reward.period for c in self.candidates],
            symmetric=args.symmetric,
            staggered=True,
        )
        device, size = self.env.device, (len(jobs), args.num_envs)
        obs, actions = self.env.observe().shape[1], self.env.action.shape[1]
        for c in self.candidates:
            c.begin(obs, actions, device)
        self.policies = Policies([c.policy for c in self.candidates])
        self.batch = Batch.empty(args.num_steps, *size, obs=obs, actions=actions, device=device)
        self.seen = torch.zeros_like(self.batch.obs)
        self.discounted = torch.zeros(size, device=device)
        self.episode = torch.zeros(2, *size, device=device)
        """return and length so far of the running episodes"""
        self.act, self.value = self._act, self._value
        if device.type == "cuda":
            from reelward.sim.gpu import graphed

            self.act = graphed("policy", self._act, self.seen[0], self.batch.actions[0])
            self.value = graphed("policy", self._value, self.seen[0])
            for c, fields in zip(self.candidates, self.env.fields_of_shares, strict=True):
                c.graph(fields)

    def _act(self, seen: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised observations, mean actions and noisy ones, all `[C, N, ...]`."""
        obs = self.policies.normalise(seen)
        means = self.policies.actor(obs)
        return obs, means, means + self.policies.log_std.exp() * noise

    def _value(self, seen: Tensor) -> Tensor:
        return self.policies.critic(self.policies.normalise(seen)).squeeze(-1)

    @torch.no_grad()
    def collect(self) -> list[dict[str, float]]:
        """Fill the batch. Returns each candidate's figures: term means, returns and lengths of the
        episodes that ended, falls. Marks the candidates whose terms or physics went wild."""
        policies, env, b, args = self.policies, self.env, self.batch, self.args
        policies.refresh()
        size = b.rewards.shape[1:]  # C, N
        lost = torch.zeros(size[0], device=env.device)
        episodes = torch.zeros(2, *b.rewards.shape, device=env.device)
        means = torch.zeros_like(b.actions)
        for t in range(args.num_steps):
            self.seen[t] = env.observe().unflatten(0, size)
            noise = [
                torch.randn(means.shape[2:], generator=c.rng, device=env.device)
                for c in self.candidates
            ]
            b.obs[t], means[t], b.actions[t] = self.act(self.seen[t], torch.stack(noise))

            terminated, truncated = env.step(b.actions[t].flatten(0, 1))
            b.terminated[t], b.truncated[t] = terminated.view(size), truncated.view(size)
            diverged = env.physics.diverged.view(size)
            lost += diverged.sum(1)
            of_each = zip(self.candidates, env.fields_of_shares, diverged, strict=True)
            reward = torch.stack([c.rewarded(fields, gone) for c, fields, gone in of_each])
            self.discounted = self.discounted * args.gamma + reward
            scales = [c.scale(d) for c, d in zip(self.candidates, self.discounted, strict=True)]
            b.rewards[t] = (reward * torch.stack(scales)).clamp(-10, 10)
            self.episode += torch.stack((reward, torch.ones_like(reward)))
            episodes[:, t] = self.episode

            if len(cut := env.rows(truncated)):
                final = self.value(env.observe()[cut].unflatten(0, (size[0], -1)))
                b.next_values[t].view(-1)[cut] = final.flatten()
            ended = terminated | truncated
            self.episode.masked_fill_(ended.view(size), 0.0)
            self.discounted.masked_fill_(ended.view(size), 0.0)
            env.reset(ended)
        # What no step waits for is cheaper for all of them at once.
        b.log_probs = log_prob(means, policies.log_std, b.actions)
        b.values = policies.critic(b.obs).squeeze(-1)
        last = self.value(env.observe().unflatten(0, size))
        after = torch.cat((b.values[1:], last[None]))
        b.next_values = torch.where(b.truncated > 0, b.next_values, after)
        steps = args.num_steps * args.num_envs
        for i, (c, share) in enumerate(zip(self.candidates, (lost / steps).tolist(), strict=True)):
            c.policy.obs.update(self.seen[:, i].flatten(0, 1))
            c.env_steps += steps
            c.judge(share)
        return [self._figures(i, episodes[:, :, i]) for i in range(size[0])]

    def _figures(self, i: int, episodes: Tensor) -> dict[str, float]:
        c, terminated = self.candidates[i], self.batch.terminated[:, i]
        sums = dict(zip(c.reward.terms, (c.term_sum / self.args.num_steps).tolist(), strict=True))
        c.term_sum.zero_()
        # Means over the episodes that ended; NaN where none did.
        ended = (terminated + self.batch.truncated[:, i]) > 0
        ret, length = episodes[:, ended].mean(1).tolist()
        return {
            "return": ret,
            "episode_length": length,
            "falls": float(terminated.sum()),
            **{f"term/{name}": value for name, value in sums.items()},
        }

    def update(self) -> list[dict[str, float]]:
        """Improve the policies on the batch: clipped surrogate and value regression."""
        b, args, policies = self.batch, self.args, self.policies
        for c in self.candidates:
            for group in c.adam.param_groups:
                floor = args.final_learning_rate
                group["lr"] = c.learning_rate * (floor + (1 - floor) * c.left)
        advantages = gae(b, args.gamma, args.gae_lambda)
        columns = (b.log_probs, advantages, advantages + b.values)
        rows = torch.cat((b.obs, b.actions, *(c[..., None] for c in columns)), -1)
        rows = rows.transpose(0, 1).flatten(1, 2)  # [C, T N, columns]
        widths = (b.obs.shape[-1], b.actions.shape[-1], 1, 1, 1)
        for _ in range(args.update_epochs):
            mixed = [
                part[torch.randperm(len(part), generator=c.rng, device=part.device)]
                for c, part in zip(self.candidates, rows, strict=True)
            ]
            for minibatch in torch.stack(mixed).chunk(args.num_minibatches, 1):
                obs, actions, old, adv, ret = minibatch.split(widths, -1)
                new = log_prob(policies.actor(obs), policies.log_std, actions)
                ratio = (new - old[..., 0]).exp()
                adv = (adv[..., 0] - adv.mean(1)) / (adv.std(1) + 1e-8)
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                policy_loss = -torch.minimum(adv * ratio, adv * clipped).mean(1)
                value_loss = ((policies.critic(obs) - ret) ** 2).mean((1, 2))
                for c in self.candidates:
                    c.adam.zero_grad()
                (policy_loss + args.value_coef * value_loss).sum().backward()
                for c in self.candidates:
                    parameters = c.policy.parameters()
                    nn.utils.clip_grad_norm_(parameters, args.max_grad_norm, foreach=True)
                    c.adam.step()
        with torch.no_grad():
            for c in self.candidates:
                most = args.final_std + (c.first_std - args.final_std) * c.left
                c.policy.log_std.clamp_(max=math.log(most))
            log_ratio = new - old[..., 0]
            figures = {
                "approx_kl": (log_ratio.exp() - 1 - log_ratio).mean(1),
                "clip_fraction": ((ratio - 1).abs() > args.clip).float().mean(1),
                "value_loss": value_loss,
                "std": policies.log_std.exp().mean((1, 2)),
            }
            of_each = torch.stack(list(figures.values()), 1).tolist()
            return [dict(zip(figures, values, strict=True)) for values in of_each]

    def state(self, i: int) -> dict[str, Any]:
        """Everything that the next update of a candidate depends on."""
        c = self.candidates[i]
        return {
            "policy": c.policy.state(),
            "adam": c.adam.state_dict(),
            "env": self.env.state_dict(i),
            "rng": c.rng.get_state(),
            "discounted": self.discounted[i].clone(),
            "episode": self.episode[:, i].clone(),
            "env_steps": c.env_steps,
            "curve": c.curve,
        }

    def load_state(self, state: dict[str, Any], i: int) -> None:
        c = self.candidates[i]
        c.policy.load_state(state["policy"])
        c.adam.load_state_dict(state["adam"])
        self.env.load_state_dict(state["env"], i)
        c.rng.set_state(state["rng"])
        self.discounted[i] = state["discounted"].to(self.env.device)
        self.episode[:, i] = state["episode"].to(self.env.device)
        c.env_steps, c.curve = state["env_steps"], state["curve"]


def learn_together(
    jobs: Sequence[Job], report: Callable[[str, int], None]
) -> dict[str, TrainingError]:
    """Train candidates to their ends, each from its newest checkpoint if there is one. Whoever is
    done, or failed, leaves the others, who go on from theirs. Returns why which one failed."""
    failed, resumed = {}, True
    every = float(setting("checkpoint_s", 20.0))
    while jobs:
        learner = Learner(jobs)
        candidates, kept = learner.candidates, [Checkpoints(job.scratch) for job in jobs]
        for i, checkpoints in enumerate(kept):
            if (state := checkpoints.newest()) is not None:
                learner.load_state(state, i)
                if resumed:  # later rounds load what this call has trained and reported
                    report(candidates[i].job.name, candidates[i].env_steps)
        resumed = False
        due = time.monotonic() + every
        while not any(c.ended for c in candidates):
            for c, did, learned in zip(
                candidates, learner.collect(), learner.update(), strict=True
            ):
                c.curve.append({"env_steps": c.env_steps} | did | learned)
                report(c.job.name, c.env_steps)
            if time.monotonic() > due or any(c.ended for c in candidates):
                for i, c in enumerate(candidates):
                    if not c.error:
                        kept[i].save(c.env_steps, learner.state(i))
                due = time.monotonic() + every
        for c in candidates:
            if c.error:
                failed[c.job.name] = c.error
            elif c.ended:
                c.save()
        jobs = [c.job for c in candidates if not c.ended]
        # A learner is a cycle of references, and a GPU may not hold two simulations.
        del learner, candidates, c
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # Warp takes its memory beside torch
    return failed


def learn(job: Job, report: Callable[[int], None]) -> None:
    """Train one candidate to the end. Raises TrainingError."""
    for error in learn_together([job], lambda _, env_steps: report(env_steps)).values():
        raise error


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
    proposed = files.read_json(args.rewards / "index.json")
    args = replace(args, symmetric=args.symmetric and proposed["alternate"])
    index = proposed["candidates"]
    valid = [c for c in index if c["file"]]
    load_robot(args.robot)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "train.device: cuda expected a CUDA GPU, found none; take a preset made for the CPU"
        )
    with files.new_folder(args.out) as out:
        todo = jobs(args, valid, out)
        steps = [args.env_steps if j.start is None else args.warm_env_steps for j in todo]
        with progress(sum(steps), f"training {len(todo)} candidates") as bar:
            if args.device == "cpu":
                why = spread(learn, todo, cores(), lambda done: bar.update(sum(done)))
                found: Mapping[str, StageError] = {
                    job.name: e for job, e in zip(todo, why, strict=True) if e
                }
            else:
                done: dict[str, int] = {}

                def report(name: str, env_steps: int) -> None:
                    done[name] = env_steps
                    bar.update(sum(done.values()))

                found = learn_together(todo, report)
        for name, error in found.items():
            if not isinstance(error, TrainingError):  # no fault of the reward's
                error.args = (f"{name}: {error}",)
                raise error
        failed = {name: str(error) for name, error in found.items()}
        files.write_json(
            out / "index.json",
            {"candidates": [c | {"error": c["error"] or failed.get(c["name"])} for c in index]},
        )


if __name__ == "__main__":
    run_stage(main, Args)
