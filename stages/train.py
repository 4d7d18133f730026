"""Train one policy for each candidate reward with PPO.

reads   rewards/        c0.py ...: the candidate rewards; index.json: where each training starts
        parent          policy.pt: the policy that a warm start continues
        gait.json       whether the expert's legs alternate

writes  policies/       c0.pt ..., c0.csv ...: policy and learning curve of each candidate
        policies/index.json   the candidates, with the error of each that failed

PPO (Schulman et al. 2017, arXiv 1707.06347) with the details that matter for continuous control
(Andrychowicz et al. 2021, arXiv 2006.05990; Huang et al. 2022, "The 37 implementation details of
PPO"): orthogonal initialisation, normalised and clipped observations, rewards divided by the
deviation of the discounted return, advantages normalised in each minibatch, the value bootstrapped
at time limits but not at falls, a learning rate that decays linearly, a clipped gradient norm.

The algorithm is `gae` and `ppo_loss`, `Learner.collect` and `Learner.update`, and `learn`, the loop of
the last two. C candidates can train at once, each as if it were alone: tensors are `[T, C, N, ...]`
with T steps and N environments of each candidate. On a CPU C is 1, with one process a core; on a GPU
all candidates share one simulation. Networks are in reelward/policy.py; rewards, checkpoints and
learning curves are in reelward/training.py.

Training is measured in env-steps, never in seconds: on one kind of CPU the same seed gives the same
bytes. (A GPU finds contacts in no fixed order.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from reelward.language import compile_reward, native_terms, read_native
from reelward.policy import About, Activation, Policies, Policy
from reelward.records import Candidates, CheckedCandidate, ExpertGait
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError, ResourceError, StageError, TrainingError
from reelward.runtime.progress import progress
from reelward.runtime.words import counted
from reelward.runtime.workers import cores, spread
from reelward.sim.environment import make_env
from reelward.sim.robot import load_robot
from reelward.training import (
    PRELOAD,
    Candidate,
    Environments,
    EpisodeLog,
    Figures,
    Job,
    Seeds,
    Session,
    WatchedReward,
    captured,
    checkpoint_folder,
    free_memory,
)

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Args:
    rewards: Path
    """Folder of the candidate rewards."""
    parent: Path
    """The parent's best policy."""
    gait: Path
    """gait.json of the expert."""
    out: Out
    """Folder to create."""
    robot: str
    """Name of a robot in robots/."""
    native: Path
    """params.yaml, whose section `native` names the user's own reward terms."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """Seed of the study."""
    iteration: Annotated[str, Field(pattern=r"^iter-\d+$")]
    """Name of the iteration. Its number, the seed and the candidate's number decide the random numbers
    of a training."""
    env_steps: Positive
    """Env-steps to train a candidate that starts from scratch."""
    warm_env_steps: Positive
    """Env-steps to train a candidate that continues the parent's policy."""
    device: Literal["cpu", "cuda"]
    """Device that the sizes below are chosen for. Training on another one is refused."""
    num_envs: Positive
    """Environments of each candidate, stepped together."""
    num_steps: Positive
    """Steps of each environment between two updates."""
    num_minibatches: Positive
    """Minibatches in an epoch."""
    update_epochs: Positive
    """Passes over the data of an update."""
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    """Adam's learning rate at the start of a training from scratch."""
    warm_learning_rate: Annotated[float, Field(gt=0, le=1)]
    """Adam's learning rate at the start of a warm training."""
    final_learning_rate: Fraction
    """Fraction of the learning rate that is left at the end. It falls linearly."""
    gamma: Fraction
    """Discount factor of a step."""
    gae_lambda: Fraction
    """Lambda of generalised advantage estimation."""
    clip: Annotated[float, Field(gt=0, lt=1)]
    """How far the probability ratio may be from 1 before the objective is clipped."""
    value_coef: Annotated[float, Field(ge=0)]
    """Weight of the value loss."""
    max_grad_norm: Annotated[float, Field(gt=0)]
    """Norm that a gradient is scaled down to if it is larger."""
    init_std: Annotated[float, Field(gt=0, le=2)]
    """Standard deviation of the actions at the start. Discrete actions have none."""
    warm_min_std: Annotated[float, Field(gt=0, le=2)]
    """Smallest standard deviation of the actions at the start of a warm training."""
    final_std: Annotated[float, Field(gt=0, le=2)]
    """Upper limit of the standard deviation at the end; the limit falls linearly. Rollouts are
    deterministic, and a gait learned under much noise is another gait without it."""
    hidden: Positive
    """Width of the hidden layers."""
    activation: Activation
    """Activation function of the hidden layers."""
    symmetric: bool
    """If the expert's legs alternate, left and right share one policy and exchange their roles every
    half gait cycle."""


@dataclass
class Batch:
    """T steps of C candidates' N environments, all `[T, C, N, ...]`."""

    obs: Tensor
    """Raw while the batch is filled, normalised when it is full."""
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    next_values: Tensor
    """Value of the state that the step reached."""
    terminated: Tensor
    """1 where the step ended in a fall."""
    truncated: Tensor
    """1 where the step reached the time limit."""


def gae(batch: Batch, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438) -> `[T, ...]`.

    After a fall (`terminated`) there is no future reward. After a time limit (`truncated`) there is,
    estimated by the value, but the next row of the batch belongs to another episode.
    """
    delta = batch.rewards + gamma * batch.next_values * (1 - batch.terminated) - batch.values
    goes_on = (1 - batch.terminated) * (1 - batch.truncated)
    advantages, last = torch.zeros_like(delta), torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        last = delta[t] + gamma * lam * goes_on[t] * last
        advantages[t] = last
    return advantages


def ppo_loss(
    log_ratio: Tensor, advantages: Tensor, values: Tensor, returns: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """Clipped surrogate loss and value loss of minibatches `[C, M]`, each `[C]`. `log_ratio` is the
    log-probability of the actions now, minus that when they were taken."""
    ratio = log_ratio.exp()
    mean, std = advantages.mean(1, keepdim=True), advantages.std(1, keepdim=True)
    advantages = (advantages - mean) / (std + 1e-8)
    clipped = ratio.clamp(1 - clip, 1 + clip)
    policy_loss = -torch.minimum(advantages * ratio, advantages * clipped).mean(1)
    return policy_loss, ((values - returns) ** 2).mean(1)


class Learner:
    """PPO on C candidates at once.

    On a GPU, nothing is read back while a batch is filled or the policies are updated, so the device
    never waits for Python.
    """

    def __init__(self, args: Args, env: Environments, candidates: Sequence[Candidate]) -> None:
        self.args, self.env, self.candidates = args, env, candidates
        self.policies = Policies([c.policy for c in candidates])
        self.size = size = len(candidates), args.num_envs  # C, N
        obs = env.observe().unflatten(0, size)
        actions = self.policies.distribution(self.policies.normalise(obs)).mode
        like = [obs, actions, *[torch.zeros(size, device=env.device)] * 6]
        self.batch = Batch(*(x.new_zeros(args.num_steps, *x.shape) for x in like))
        self.episodes = EpisodeLog(args.num_steps, size, env.device)
        noise = torch.zeros(*size, self.policies.outputs, device=env.device)
        self.act = captured("policy", self._act, obs, noise)
        self.value = captured("policy", self._value, obs)

    def _act(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions for raw observations, and their log-probabilities."""
        distribution = self.policies.distribution(self.policies.normalise(obs))
        actions = distribution.sample(noise)
        return actions, distribution.log_prob(actions)

    def _value(self, obs: Tensor) -> Tensor:
        return self.policies.critic(self.policies.normalise(obs))

    @torch.no_grad()
    def collect(self) -> list[Figures]:
        """Step all environments and fill the batch. Returns figures of each candidate: returns and
        lengths of the episodes that ended, falls, means of the reward terms."""
        args, env, batch, policies, size = (
            self.args, self.env, self.batch, self.policies, self.size,
        )  # fmt: skip
        generators = [c.rng for c in self.candidates]
        diverged = torch.zeros(size[0], device=env.device)
        policies.refresh()
        for t in range(args.num_steps):
            batch.obs[t] = env.observe().unflatten(0, size)
            noise = policies.noise(args.num_envs, generators)
            batch.actions[t], batch.log_probs[t] = self.act(batch.obs[t], noise)
            terminated, truncated = env.step(batch.actions[t].flatten(0, 1))
            ended, lost = terminated | truncated, env.diverged.view(size)
            batch.terminated[t], batch.truncated[t] = terminated.view(size), truncated.view(size)
            diverged += lost.sum(1)

            shares = zip(self.candidates, env.fields_of_shares, lost, strict=True)
            rewards = torch.stack([c.reward(fields, gone) for c, fields, gone in shares])
            self.episodes.add(t, rewards, args.gamma)
            batch.rewards[t] = policies.scale_rewards(rewards, self.episodes.discounted)

            if len(cut := env.rows(truncated)):  # their last state is lost in the reset
                last = self.value(env.observe()[cut].unflatten(0, (size[0], -1)))
                batch.next_values[t].view(-1)[cut] = last.flatten()
            self.episodes.end(t, ended.view(size))
            env.reset(ended)

        policies.update_statistics(batch.obs)
        batch.obs = policies.normalise(batch.obs)  # by the statistics that the actions came from
        batch.values = policies.critic(batch.obs)
        after = self.value(env.observe().unflatten(0, size))
        following = torch.cat((batch.values[1:], after[None]))
        batch.next_values = torch.where(batch.truncated > 0, batch.next_values, following)

        steps = args.num_steps * args.num_envs
        for c, share in zip(self.candidates, (diverged / steps).tolist(), strict=True):
            c.env_steps += steps
            c.reward.check(share)
        falls = batch.terminated.sum((0, 2)).tolist()
        return [
            self.episodes.means(i) | {"falls": falls[i]} | c.reward.means()
            for i, c in enumerate(self.candidates)
        ]

    def update(self) -> list[Figures]:
        """Improve the policies on the batch. Returns figures of each candidate, of the last minibatch."""
        args, batch, policies = self.args, self.batch, self.policies
        for c in self.candidates:
            left = args.final_learning_rate + (1 - args.final_learning_rate) * c.left
            c.adam.param_groups[0]["lr"] = c.learning_rate * left

        advantages = gae(batch, args.gamma, args.gae_lambda)
        scalars = torch.stack((batch.log_probs, advantages, advantages + batch.values), -1)
        columns = [
            column.transpose(0, 1).flatten(1, 2)  # [C, T N, ...]
            for column in (batch.obs, batch.actions, scalars)
        ]
        total, device = args.num_steps * args.num_envs, batch.values.device
        each = torch.arange(self.size[0], device=device)[:, None]
        for _ in range(args.update_epochs):
            order = [torch.randperm(total, generator=c.rng, device=device) for c in self.candidates]
            for rows in torch.stack(order).chunk(args.num_minibatches, 1):
                obs, actions, row_scalars = (column[each, rows] for column in columns)
                old_log_prob, advantage, returns = row_scalars.unbind(-1)
                log_ratio = policies.distribution(obs).log_prob(actions) - old_log_prob
                policy_loss, value_loss = ppo_loss(
                    log_ratio, advantage, policies.critic(obs), returns, args.clip
                )
                for c in self.candidates:
                    c.adam.zero_grad()
                (policy_loss + args.value_coef * value_loss).sum().backward()
                for c in self.candidates:
                    nn.utils.clip_grad_norm_(c.policy.weights(), args.max_grad_norm, foreach=True)
                    c.adam.step()

        for c in self.candidates:
            c.policy.limit_std(high=args.final_std + (c.first_std - args.final_std) * c.left)
        with torch.no_grad():
            ratio = log_ratio.exp()
            figures = {
                "approx_kl": (ratio - 1 - log_ratio).mean(1),
                "clip_fraction": ((ratio - 1).abs() > args.clip).float().mean(1),
                "value_loss": value_loss,
                **policies.exploration(),
            }
            rows_of_figures = torch.stack(list(figures.values()), 1).tolist()
        return [dict(zip(figures, row, strict=True)) for row in rows_of_figures]


def begin(args: Args, job: Job, reward: WatchedReward, env: Environments) -> Candidate:
    """A candidate before its first step: with new weights, or those of the policy that it continues."""
    about = About(
        env.observation_space, env.action_space, args.hidden, args.activation, args.robot,
        args.symmetric, reward.reward.digest,
    )  # fmt: skip
    if job.start is None:
        torch.manual_seed(job.seeds.weights)
        policy = Policy(about, args.init_std)
        learning_rate, total = args.learning_rate, args.env_steps
    else:
        policy = Policy.load(files.verified(job.start))
        fixed = ("observation", "action", "hidden", "activation")
        expected, got = ({k: getattr(a, k) for k in fixed} for a in (about, policy.about))
        if got != expected:
            raise InputError(
                f"{job.start}: expected a network of {expected}, got {got}; set train to those"
            )
        policy.about = replace(about, env_steps=policy.about.env_steps)
        policy.limit_std(low=args.warm_min_std)
        policy.forget()
        learning_rate, total = args.warm_learning_rate, args.warm_env_steps
    policy.to(env.device)
    adam = torch.optim.Adam(policy.weights(), lr=learning_rate, eps=1e-5, fused=True)
    rng = torch.Generator(env.device).manual_seed(job.seeds.noise)
    return Candidate(job, reward, policy, learning_rate, total, adam, rng)


def prepare(args: Args, jobs: Sequence[Job]) -> Learner:
    """Environments, rewards and policies at the start of several trainings."""
    if args.device == "cpu":
        torch.set_num_threads(1)  # more would take the cores of the other processes
    robot, native = load_robot(args.robot), native_terms(read_native(args.native))
    rewards = [compile_reward(j.reward.read_text(), robot.fields, native=native) for j in jobs]
    env = make_env(
        robot,
        len(jobs) * args.num_envs,
        seed=[job.seeds.environment for job in jobs],
        period=[reward.period for reward in rewards],
        symmetric=args.symmetric,
        staggered=True,
        device=args.device,
        threads=jobs[0].threads,
    )
    candidates = []
    for job, reward, fields in zip(jobs, rewards, env.fields_of_shares, strict=True):
        watched = WatchedReward(job.name, reward)
        watched.capture(fields)
        candidates.append(begin(args, job, watched, env))
    return Learner(args, env, candidates)


def learn(
    args: Args, jobs: Sequence[Job], report: Callable[[str, int], None]
) -> dict[str, TrainingError]:
    """Train candidates together, each from its newest checkpoint if there is one. One that is done
    or has failed drops out, and the others continue. Returns the errors of those that failed."""
    errors: dict[str, TrainingError] = {}
    while jobs:
        learner = prepare(args, jobs)
        session = Session(learner, report)
        while session.goes_on:
            collected = learner.collect()
            learned = learner.update()
            session.record(collected, learned)
        errors |= session.finish()
        jobs = session.unfinished
        del learner, session  # a GPU may not have room for two simulations
        free_memory()
    return errors


def learn_alone(args: Args, job: Job, report: Callable[[int], None]) -> None:
    """Train one candidate. Raises TrainingError."""
    for error in learn(args, [job], lambda _, env_steps: report(env_steps)).values():
        raise error


def plan(args: Args, candidates: Sequence[CheckedCandidate], out: Path) -> list[Job]:
    """The trainings to do, the longest first so that the cores finish at about the same time."""
    jobs = []
    settings = {k: v for k, v in asdict(args).items() if not isinstance(v, Path)}
    settings["native"] = read_native(args.native)
    package = Path(__file__).parents[1] / "reelward"
    robot = load_robot(args.robot).folder
    code = [Path(__file__), *(package / p for p in ("policy.py", "training.py", "sim", "language"))]
    for c in candidates:
        reward = args.rewards / str(c.file)
        seeds = Seeds.of(args.seed, int(args.iteration.removeprefix("iter-")), c.number)
        start = args.parent if c.start == "warm" else None
        inputs = [reward, robot, *([start] if start else [])]
        folder = checkpoint_folder(settings | {"seeds": asdict(seeds)}, [*inputs, *code])
        threads = max(1, cores() // len(candidates))
        jobs.append(Job(c.name, reward, start, seeds, out, folder, threads))
    return sorted(jobs, key=lambda job: job.start is not None)


def main(args: Args) -> None:
    index = files.read_record(args.rewards / "index.json", Candidates)
    alternate = files.read_record(args.gait, ExpertGait).alternate
    args = replace(args, symmetric=args.symmetric and alternate)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "train.device: cuda expected a CUDA GPU, found none; take a preset made for the CPU"
        )
    with files.new_folder(args.out) as out:
        jobs = plan(args, index.sound, out)
        steps = [args.env_steps if j.start is None else args.warm_env_steps for j in jobs]
        with progress(sum(steps), f"training {counted(len(jobs), 'candidate')}") as bar:
            done = dict.fromkeys((job.name for job in jobs), 0)

            def report(name: str, env_steps: int) -> None:
                done[name] = env_steps
                bar.update(sum(done.values()))

            errors: Mapping[str, StageError]
            if args.device == "cpu":
                errors = spread(
                    partial(learn_alone, args), {job.name: job for job in jobs}, cores(), report,
                    preload=("stages", *PRELOAD),
                )  # fmt: skip
            else:
                errors = learn(args, jobs, report)
        for name, error in errors.items():
            if not isinstance(error, TrainingError):  # not the fault of the reward
                error.args = (f"{name}: {error}",)
                raise error
        failed = {name: str(error) for name, error in errors.items()}
        after = tuple(c.failed(failed.get(c.name)) for c in index.candidates)
        files.write_record(out / "index.json", Candidates(candidates=after))


if __name__ == "__main__":
    run_stage(main, Args)
