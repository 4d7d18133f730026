"""What a training needs around its algorithm: jobs, watched rewards, figures, checkpoints.

The algorithm itself is in stages/train.py.
"""

from __future__ import annotations

import csv
import gc
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import torch
from torch import Generator, Tensor

from reelward.language import Reward, RewardError, Watch
from reelward.policy import Policy, PolicyState
from reelward.runtime import files
from reelward.runtime.checkpoints import Checkpoints
from reelward.runtime.errors import TrainingError
from reelward.runtime.settings import setting
from reelward.runtime.words import one_line
from reelward.sim.spaces import ActionSpace, ObservationSpace

MAX_WILD = 0.001
"""Share of the steps with a term that is not finite or huge, or with diverged physics, that ends a
training."""
CHECKPOINT_S = 20.0
"""Seconds between checkpoints where the setting `checkpoint_s` says nothing."""

PRELOAD = ("reelward.training", "reelward.sim.environment")
"""Modules that every training needs."""

Figures = dict[str, float]
"""One row of a learning curve, or a part of one."""


@dataclass(frozen=True)
class Seeds:
    """Seeds of the random streams of one training."""

    weights: int
    """Of the initial weights."""
    environment: int
    """Of the start states."""
    noise: int
    """Of the actions' noise and the order of the minibatches."""

    @classmethod
    def of(cls, study: int, iteration: int, candidate: int) -> Seeds:
        """Seeds that no training of another (study, iteration, candidate) shares. The study's seed
        must be below 2^32: a larger one is read as two numbers and could equal another triple."""
        children = np.random.SeedSequence([study, iteration, candidate]).spawn(3)
        return cls(*(int(child.generate_state(1, np.uint64)[0]) for child in children))


@dataclass(frozen=True)
class Job:
    """The training of one candidate."""

    name: str
    reward: Path
    """The reward file."""
    start: Path | None
    """The policy to go on from; None to start from scratch."""
    seeds: Seeds
    out: Path
    """Folder that receives NAME.pt, the policy, and NAME.csv, the learning curve."""
    checkpoints: Path
    """Folder of the checkpoints; see `checkpoint_folder`."""
    threads: int = 1
    """Threads that step the physics. Their number does not change the result."""


def checkpoint_folder(settings: Mapping[str, object], code: Sequence[Path]) -> Path:
    """A folder for the checkpoints of a training that `settings` (JSON) and the files and folders
    `code` define: another setting or another line of code is another training."""
    digest = hashlib.sha256("".join(map(files.digest, code)).encode()).hexdigest()
    key = dict(settings) | {"code": digest, "torch": torch.__version__}
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return Path("scratch/checkpoints") / name[:16]


def captured(what: str, work: Callable[..., Any], *examples: Tensor) -> Callable[..., Any]:
    """`work` as a CUDA graph where the tensors `examples` lie on a GPU, elsewhere `work` itself.
    Later calls need tensors of the same shapes; results live until the next call."""
    if examples[0].device.type != "cuda":
        return work
    from reelward.sim.gpu import graphed  # Warp, which it imports, is slow to load

    return graphed(what, work, *examples)


class WatchedReward:
    """A candidate's reward while it trains: values that are not finite or are huge count as 0 and are
    counted, and the means of the terms are kept."""

    def __init__(self, name: str, reward: Reward) -> None:
        self.name, self.reward = name, reward
        self.error: TrainingError | None = None
        """Why the training must end."""
        self._watch = Watch(reward, MAX_WILD)
        self._sums: Tensor | float = 0.0
        self._steps = 0
        self.terms: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = reward

    def capture(self, fields: Mapping[str, Tensor]) -> None:
        """Evaluate it as a CUDA graph if the fields lie on a GPU. A reward with native terms stays as
        it is: what they do may not be capturable."""
        names = sorted(self.reward.inputs)
        if names and not any(node.op == "native" for node in self.reward.nodes):
            try:
                evaluate = captured(
                    self.name,
                    lambda *values: self.reward(dict(zip(names, values, strict=True))),
                    *(fields[name] for name in names),
                )
            except Exception as e:
                self._fail(e)
                return
            self.terms = lambda now: evaluate(*(now[name] for name in names))

    def __call__(self, fields: Mapping[str, Tensor], diverged: Tensor) -> Tensor:
        """The sum of the terms `[N]`, 0 where the physics `diverged`. Whatever a reward or a native term
        raises sets `error`: it ends this training, not those beside it."""
        try:
            terms = self._watch.masked(self.terms(fields))  # [terms, N]
        except Exception as e:
            self._fail(e)
            return torch.zeros(len(diverged), device=diverged.device)
        self._sums = self._sums + terms.mean(1)
        self._steps += 1
        return torch.where(diverged, 0.0, terms.sum(0))

    def _fail(self, error: Exception) -> None:
        why = str(error)
        if not isinstance(error, RewardError):
            why = f"the reward cannot be computed: {one_line(why, 200)}"
        self.error = TrainingError(why)

    def check(self, lost: float) -> None:
        """Set `error` if a term, or the physics in the share `lost` of the steps, went wild."""
        try:
            self._watch.check()
        except RewardError as e:
            self._fail(e)
        if lost > MAX_WILD:
            self.error = TrainingError(f"the physics diverged in {lost:.2%} of the steps")

    def means(self) -> Figures:
        """Mean of each term a step since the last call."""
        sums = torch.as_tensor(self._sums).expand(len(self.reward.terms))
        means = (sums / max(self._steps, 1)).tolist()
        self._sums, self._steps = 0.0, 0
        return {f"term/{n}": value for n, value in zip(self.reward.terms, means, strict=True)}


@dataclass
class Candidate:
    """What a candidate does not share with those that train beside it."""

    job: Job
    reward: WatchedReward
    policy: Policy
    learning_rate: float
    """At the start."""
    total: int
    """Env-steps to train for."""
    adam: torch.optim.Adam
    rng: Generator
    """Of the actions' noise and of the order of the minibatches."""
    env_steps: int = 0
    curve: list[Figures] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first_std = self.policy.max_std()
        """Largest standard deviation of an action at the start."""

    @property
    def error(self) -> TrainingError | None:
        return self.reward.error

    @property
    def left(self) -> float:
        """Share of the env-steps that is still to come."""
        return max(1 - self.env_steps / self.total, 0.0)

    @property
    def ended(self) -> bool:
        return self.error is not None or self.env_steps >= self.total

    def save(self) -> None:
        """Write the policy and the learning curve."""
        about = self.policy.about
        self.policy.about = replace(about, env_steps=about.env_steps + self.env_steps)
        self.policy.save(self.job.out / f"{self.job.name}.pt")
        with open(self.job.out / f"{self.job.name}.csv", "w", newline="") as f:
            rows = csv.DictWriter(f, self.curve[0], lineterminator="\n")
            rows.writeheader()
            rows.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in self.curve)


class EpisodeLog:
    """Returns and lengths of the episodes of C candidates' N environments, T steps a batch."""

    def __init__(self, steps: int, size: tuple[int, int], device: torch.device) -> None:
        self.discounted = torch.zeros(size, device=device)
        """Discounted return so far of the running episodes, `[C, N]`."""
        self._running = torch.zeros(2, *size, device=device)
        """Their return and length so far, `[2, C, N]`."""
        self._after = torch.zeros(2, steps, *size, device=device)
        """Return and length after each step of the batch, `[2, T, C, N]`."""
        self._ended = torch.zeros(steps, *size, dtype=torch.bool, device=device)

    def add(self, t: int, rewards: Tensor, gamma: float) -> None:
        """Take in the rewards `[C, N]` of step t."""
        self.discounted = self.discounted * gamma + rewards
        self._running += torch.stack((rewards, torch.ones_like(rewards)))
        self._after[:, t] = self._running

    def end(self, t: int, ended: Tensor) -> None:
        """The episodes `ended [C, N]` are over after step t."""
        self._ended[t] = ended
        self._running.masked_fill_(ended, 0.0)
        self.discounted.masked_fill_(ended, 0.0)

    def means(self, i: int) -> Figures:
        """Mean return and length of the episodes of candidate i that ended in this batch; NaN if none."""
        returns, length = self._after[:, :, i][:, self._ended[:, i]].mean(1).tolist()
        return {"return": returns, "episode_length": length}

    def state(self, i: int) -> dict[str, Tensor]:
        return {"discounted": self.discounted[i].clone(), "running": self._running[:, i].clone()}

    def load_state(self, i: int, state: Mapping[str, Tensor]) -> None:
        self.discounted[i] = state["discounted"].to(self.discounted.device)
        self._running[:, i] = state["running"].to(self._running.device)


class Environments(Protocol):
    """C candidates' N environments, in one row each; see reelward/sim/env.py."""

    device: torch.device
    fields_of_shares: Sequence[Mapping[str, Tensor]]

    @property
    def observation_space(self) -> ObservationSpace: ...
    @property
    def action_space(self) -> ActionSpace: ...
    @property
    def diverged(self) -> Tensor: ...
    def observe(self) -> Tensor: ...
    def step(self, action: Tensor) -> tuple[Tensor, Tensor]: ...
    def rows(self, which: Tensor) -> Tensor: ...
    def reset(self, ended: Tensor) -> None: ...
    def state_dict(self, share: int = 0) -> dict[str, Tensor]: ...
    def load_state_dict(self, state: Mapping[str, Tensor], share: int = 0) -> None: ...


class Resumable(Protocol):
    """What a learner must have to be continued later."""

    candidates: Sequence[Candidate]
    episodes: EpisodeLog
    env: Environments


class Checkpoint(TypedDict):
    """Everything that the next update of a candidate depends on."""

    policy: PolicyState
    adam: dict[str, object]
    env: dict[str, Tensor]
    episodes: dict[str, Tensor]
    rng: Tensor
    env_steps: int
    curve: list[Figures]


class Session:
    """Learning curves, progress and checkpoints of candidates that train together."""

    def __init__(self, learner: Resumable, report: Callable[[str, int], None]) -> None:
        """Continue each candidate from its newest checkpoint if there is one. `report` gets a
        candidate's name and its env-steps, now and after every update."""
        self._learner, self._report = learner, report
        self.candidates = learner.candidates
        self._kept = [Checkpoints(c.job.checkpoints) for c in self.candidates]
        self._every = float(setting("checkpoint_s", CHECKPOINT_S))
        self._due = time.monotonic() + self._every
        for i, (c, checkpoints) in enumerate(zip(self.candidates, self._kept, strict=True)):
            if checkpoints.restore(partial(self._state, i), partial(self._load, i)):
                report(c.job.name, c.env_steps)

    @property
    def goes_on(self) -> bool:
        """No candidate has ended yet."""
        return not any(c.ended for c in self.candidates)

    def record(self, collected: Sequence[Figures], learned: Sequence[Figures]) -> None:
        """Note each candidate's figures of one update; save checkpoints when they are due."""
        for c, did, figures in zip(self.candidates, collected, learned, strict=True):
            c.curve.append({"env_steps": c.env_steps} | did | figures)
            self._report(c.job.name, c.env_steps)
        if time.monotonic() > self._due or not self.goes_on:
            for i, c in enumerate(self.candidates):
                if not c.error:
                    self._kept[i].save(c.env_steps, self._state(i))
            self._due = time.monotonic() + self._every

    def finish(self) -> dict[str, TrainingError]:
        """Write the policies of the candidates that ended. Returns the errors of those that failed."""
        for c in self.candidates:
            if c.ended and not c.error and not all(w.isfinite().all() for w in c.policy.weights()):
                c.reward.error = TrainingError("the policy is not finite: keep every term near 1")
            if c.ended and not c.error:
                c.save()
        return {c.job.name: c.error for c in self.candidates if c.error}

    @property
    def unfinished(self) -> list[Job]:
        return [c.job for c in self.candidates if not c.ended]

    def _state(self, i: int) -> Checkpoint:
        c = self.candidates[i]
        return {
            "policy": c.policy.state(),
            "adam": c.adam.state_dict(),
            "env": self._learner.env.state_dict(i),
            "episodes": self._learner.episodes.state(i),
            "rng": c.rng.get_state(),
            "env_steps": c.env_steps,
            "curve": c.curve,
        }

    def _load(self, i: int, state: Checkpoint) -> None:
        c = self.candidates[i]
        c.policy.load_state(state["policy"])
        c.adam.load_state_dict(state["adam"])
        self._learner.env.load_state_dict(state["env"], i)
        self._learner.episodes.load_state(i, state["episodes"])
        c.rng.set_state(state["rng"])
        c.env_steps, c.curve = state["env_steps"], state["curve"]


def free_memory() -> None:
    """Give back the memory of a learner that nobody refers to any more."""
    gc.collect()  # it is a cycle of references
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # Warp allocates outside of torch
