"""The policy that training makes and rollouts use: two small networks and their statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reelward.runtime.files import FileError, load_tensors, save_tensors

FORMAT = 1
MAX_WARM_COUNT = 2e5
"""rows that inherited statistics may weigh, so that a new reward's data still moves them"""


@dataclass
class Statistics:
    """Running mean and variance of rows (Chan et al. 1979), float64 for exact accumulation."""

    mean: Tensor
    var: Tensor
    count: float = 1e-4

    @classmethod
    def of(cls, size: int) -> Statistics:
        return cls(torch.zeros(size, dtype=torch.float64), torch.ones(size, dtype=torch.float64))

    def update(self, rows: Tensor) -> None:
        """Take in `rows [M, size]`."""
        rows = rows.double()
        mean, var, m = rows.mean(0), rows.var(0, correction=0), len(rows)
        total, delta = self.count + m, mean - self.mean
        self.mean = self.mean + delta * m / total
        self.var = (self.var * self.count + var * m + delta**2 * self.count * m / total) / total
        self.count = total

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "var": self.var, "count": self.count}


Activation = Literal["tanh", "elu", "silu"]
LAYERS: dict[Activation, type[nn.Module]] = {"tanh": nn.Tanh, "elu": nn.ELU, "silu": nn.SiLU}


def mlp(
    inputs: int, hidden: int, outputs: int, gain: float, activation: Activation
) -> nn.Sequential:
    """Two hidden layers, orthogonal weights, zero biases (Andrychowicz et al. 2021, choice C57)."""
    sizes = ((inputs, hidden, 2**0.5), (hidden, hidden, 2**0.5), (hidden, outputs, gain))
    layers: list[nn.Module] = []
    for i, o, g in sizes:
        linear = nn.Linear(i, o)
        nn.init.orthogonal_(linear.weight, g)
        nn.init.zeros_(linear.bias)
        layers += [linear, LAYERS[activation]()]
    return nn.Sequential(*layers[:-1])


@dataclass
class Policy:
    """A Gaussian policy with state-independent deviation, its value function, and the statistics
    that normalise what both see."""

    actor: nn.Sequential
    critic: nn.Sequential
    log_std: nn.Parameter
    obs: Statistics
    returns: Statistics
    """of the discounted return, `[1]`; its deviation scales rewards"""
    about: dict[str, Any] = field(default_factory=dict)
    """robot, hidden, activation, symmetric, reward digest, env_steps of the whole lineage"""

    @classmethod
    def new(cls, obs: int, actions: int, hidden: int, std: float, activation: Activation) -> Policy:
        return cls(
            actor=mlp(obs, hidden, actions, 0.01, activation),
            critic=mlp(obs, hidden, 1, 1.0, activation),
            log_std=nn.Parameter(torch.full((actions,), math.log(std))),
            obs=Statistics.of(obs),
            returns=Statistics.of(1),
            about={
                "obs": obs,
                "actions": actions,
                "hidden": hidden,
                "activation": activation,
                "env_steps": 0,
            },
        )

    def to(self, device: torch.device) -> None:
        """Move everything to `device`."""
        self.actor.to(device)
        self.critic.to(device)
        self.log_std.data = self.log_std.data.to(device)
        for s in (self.obs, self.returns):
            s.mean, s.var = s.mean.to(device), s.var.to(device)

    def parameters(self) -> list[nn.Parameter]:
        return [*self.actor.parameters(), *self.critic.parameters(), self.log_std]

    def normalise(self, obs: Tensor) -> Tensor:
        """Observations `[..., O]` to zero mean and unit variance, clipped to +-8."""
        scaled = (obs - self.obs.mean.float()) * (self.obs.var + 1e-8).rsqrt().float()
        return scaled.clamp(-8, 8)

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """The mean action `[N, A]` for raw observations `[N, O]`."""
        return self.actor(self.normalise(obs))

    def state(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "about": dict(self.about),
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
            "log_std": self.log_std.detach(),
            "obs": self.obs.state(),
            "returns": self.returns.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        if state.get("format") != FORMAT:
            raise FileError(f"expected a policy of format {FORMAT}, got {state.get('format')!r}")
        self.about = dict(state["about"])
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        self.log_std.data.copy_(state["log_std"])
        self.obs, self.returns = Statistics(**state["obs"]), Statistics(**state["returns"])
        self.to(self.log_std.device)

    def keep_exploring(self, min_std: float) -> None:
        """Ready to be trained on: a deviation of at least `min_std`, statistics that can move."""
        self.log_std.data.clamp_(min=math.log(min_std))
        for statistics in (self.obs, self.returns):
            statistics.count = min(statistics.count, MAX_WARM_COUNT)

    def save(self, path: Path) -> None:
        save_tensors(path, self.state())

    @classmethod
    def load(cls, path: Path) -> Policy:
        """The policy of a file written by `save`. Raises FileError."""
        state = load_tensors(path)
        about = state["about"] = {"activation": "tanh"} | state[
            "about"
        ]  # the first ones had no other
        size = (about["obs"], about["actions"], about["hidden"])
        policy = cls.new(*size, 1.0, about["activation"])
        policy.load_state(state)
        return policy


class Policies:
    """C policies of one shape side by side: policy c has the c-th part of every `[..., C, M, x]`.

    They normalise by the statistics of the last `refresh`, kept in one place: a CUDA graph reads them
    there.
    """

    def __init__(self, members: Sequence[Policy]) -> None:
        self.members = members
        self._norm = self._statistics()

    def refresh(self) -> None:
        """Normalise by the statistics as they are now."""
        self._norm.copy_(self._statistics())

    def _statistics(self) -> Tensor:
        """Mean and inverse deviation of the observations `[2, C, 1, O]`."""
        of = [(p.obs.mean.float(), (p.obs.var + 1e-8).rsqrt().float()) for p in self.members]
        return torch.stack([torch.stack(part) for part in zip(*of, strict=True)])[:, :, None]

    @property
    def log_std(self) -> Tensor:
        """`[C, 1, A]`"""
        if len(self.members) == 1:  # a stack would be a copy
            return self.members[0].log_std[None, None]
        return torch.stack([p.log_std for p in self.members])[:, None]

    def normalise(self, obs: Tensor) -> Tensor:
        mean, scale = self._norm
        return ((obs - mean) * scale).clamp(-8, 8)

    def actor(self, obs: Tensor) -> Tensor:
        return _outputs([p.actor for p in self.members], obs)

    def critic(self, obs: Tensor) -> Tensor:
        return _outputs([p.critic for p in self.members], obs)


def _outputs(nets: Sequence[nn.Sequential], x: Tensor) -> Tensor:
    """Each net's, in one batched product a layer."""
    if len(nets) == 1:
        return nets[0](x)
    for layers in zip(*nets, strict=True):
        if isinstance(layers[0], nn.Linear):
            weights = torch.stack([layer.weight for layer in layers])
            x = x @ weights.mT + torch.stack([layer.bias for layer in layers])[:, None]
        else:
            x = layers[0](x)
    return x
