"""A policy: an actor, a critic, and the statistics that normalise their inputs.

Observations are a vector (two hidden layers) or a picture (the convolutions of Nature-DQN, Mnih et
al. 2015). Actions are a box (a Gaussian) or discrete (a softmax); nothing else depends on which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from pydantic import TypeAdapter
from torch import Generator, Tensor, nn

from reelward.runtime.files import FileError, load_tensors, save_tensors
from reelward.sim.spaces import ActionSpace, Box, Discrete, ObservationSpace, Picture, Vector

FORMAT = 2
MAX_WARM_COUNT = 2e5
"""Most rows that inherited statistics may count for, so that the data of a new reward still move them."""
PICTURES_AT_ONCE = 1024
"""Pictures that are converted to float together; a whole batch of them would not fit into memory."""

Activation = Literal["tanh", "elu", "silu"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"tanh": nn.Tanh, "elu": nn.ELU, "silu": nn.SiLU}
NATURE_DQN = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
"""Channels, kernel size and stride of each convolution (Mnih et al. 2015, methods)."""


@dataclass(frozen=True)
class About:
    """What a policy is and where it comes from."""

    observation: ObservationSpace
    action: ActionSpace
    hidden: int
    """Width of the hidden layers."""
    activation: Activation
    robot: str = ""
    symmetric: bool = False
    """It sees half a gait cycle; in the other half left and right are exchanged."""
    reward: str | None = None
    """Digest of the reward that it was trained on last."""
    env_steps: int = 0
    """Env-steps of its training, the warm starts included."""

    @property
    def outputs(self) -> int:
        """Numbers that the actor gives for an observation: means or logits."""
        return self.action.size if isinstance(self.action, Box) else self.action.n


_ABOUT = TypeAdapter(About)


class PolicyState(TypedDict):
    """What a file of a policy holds."""

    format: int
    about: Mapping[str, object]
    weights: Mapping[str, Tensor]


# --- distributions of actions ----------------------------------------------------------------------


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions of the numbers of an action in a box."""

    mean: Tensor
    """`[..., A]`."""
    log_std: Tensor
    """`[A]`, or a shape that broadcasts against the mean."""

    @staticmethod
    def noise(n: int, space: Box, generator: Generator) -> Tensor:
        """Random numbers for `sample`, `[N, A]`."""
        return torch.randn(n, space.size, generator=generator, device=generator.device)

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-density of `actions [..., A]` -> `[...]`."""
        z = (actions - self.mean) * (-self.log_std).exp()
        return -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1) - self.log_std.sum(-1)

    @property
    def mode(self) -> Tensor:
        return self.mean


@dataclass(frozen=True)
class Categorical:
    """Probabilities of discrete actions."""

    logits: Tensor
    """`[..., n]`."""

    @staticmethod
    def noise(n: int, space: Discrete, generator: Generator) -> Tensor:
        """Gumbel-distributed random numbers for `sample`, `[N, n]`."""
        uniform = torch.rand(n, space.n, generator=generator, device=generator.device)
        return -(-uniform.clamp(min=1e-20).log()).clamp(min=1e-20).log()

    def sample(self, noise: Tensor) -> Tensor:
        """The Gumbel-max trick: the largest of logits plus noise has the softmax's probabilities."""
        return (self.logits + noise).argmax(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probability of `actions [...]` -> `[...]`."""
        return self.logits.log_softmax(-1).gather(-1, actions[..., None])[..., 0]

    @property
    def mode(self) -> Tensor:
        return self.logits.argmax(-1)


Distribution = Gaussian | Categorical


# --- networks --------------------------------------------------------------------------------------


def mlp(widths: Sequence[int], gain: float, activation: Activation) -> list[nn.Module]:
    """Linear layers with an activation between them, orthogonal weights and zero biases
    (Andrychowicz et al. 2021, arXiv 2006.05990, choice C57). `gain` scales the last layer."""
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(widths), start=2):
        linear = nn.Linear(inputs, outputs)
        orthogonal(linear, gain if i == len(widths) else 2**0.5)
        layers += [linear, ACTIVATIONS[activation]()]
    return layers[:-1]


def orthogonal(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    """Orthogonal weights scaled by `gain`, zero biases."""
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Convolutions(nn.Module):
    """Features of pictures: the convolutions of Nature-DQN, without those that are larger than what
    is left of the picture."""

    def __init__(self, space: Picture) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        height, width, channels = space.height, space.width, space.channels
        for outputs, kernel, stride in NATURE_DQN:
            if kernel <= min(height, width):
                convolution = nn.Conv2d(channels, outputs, kernel, stride)
                orthogonal(convolution, 2**0.5)
                layers += [convolution, nn.ReLU()]
                height, width = ((side - kernel) // stride + 1 for side in (height, width))
                channels = outputs
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.size = channels * height * width

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 `[..., H, W, channels]` -> float32 `[..., size]`."""
        flat = pictures.flatten(0, -4).split(PICTURES_AT_ONCE)
        features = [self.layers(part.permute(0, 3, 1, 2).float() / 255) for part in flat]
        return torch.cat(features).view(*pictures.shape[:-3], self.size)


def network(about: About, outputs: int, gain: float) -> nn.Sequential:
    """From normalised observations to `outputs` numbers."""
    if isinstance(about.observation, Vector):
        widths = (about.observation.size, about.hidden, about.hidden, outputs)
        return nn.Sequential(*mlp(widths, gain, about.activation))
    body = Convolutions(about.observation)
    return nn.Sequential(body, *mlp((body.size, about.hidden, outputs), gain, about.activation))


class Statistics(nn.Module):
    """Running mean and variance of rows (Chan et al. 1979), float64 for exact accumulation."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("var", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(1e-4, dtype=torch.float64))

    def update(self, rows: Tensor) -> None:
        """Take in `rows [M, size]`."""
        rows = rows.double()
        mean, var, m = rows.mean(0), rows.var(0, correction=0), len(rows)
        total, delta = self.count + m, mean - self.mean
        self.mean = self.mean + delta * m / total
        self.var = (self.var * self.count + var * m + delta**2 * self.count * m / total) / total
        self.count = total

    def scale(self) -> Tensor:
        """One over the standard deviation, float32 `[size]`."""
        return (self.var + 1e-8).rsqrt().float()


class Policy(nn.Module):
    """Actor and critic of one robot. A Gaussian's standard deviation does not depend on the state."""

    actor: nn.Sequential
    critic: nn.Sequential
    log_std: nn.Parameter | None
    """`[A]` of actions in a box; None for discrete actions."""
    obs: Statistics | None
    """Of the observations; None for pictures."""
    returns: Statistics
    """Of the discounted return, `[1]`; its deviation scales the rewards of training."""

    def __init__(self, about: About, std: float = 1.0) -> None:
        """New weights, and actions with the standard deviation `std` if they are a box."""
        super().__init__()
        self.about = about
        self.actor = network(about, about.outputs, 0.01)
        self.critic = network(about, 1, 1.0)
        log_std = torch.full((about.outputs,), math.log(std))
        self.log_std = nn.Parameter(log_std) if isinstance(about.action, Box) else None
        seen = about.observation
        self.obs = Statistics(seen.size) if isinstance(seen, Vector) else None
        self.returns = Statistics(1)

    def weights(self) -> list[nn.Parameter]:
        """What training changes."""
        deviation = [] if self.log_std is None else [self.log_std]
        return [*self.actor.parameters(), *self.critic.parameters(), *deviation]

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """The most likely actions `[N, A]` or `[N]` for raw observations `[N, ...]`."""
        if self.obs is not None:
            obs = ((obs - self.obs.mean.float()) * self.obs.scale()).clamp(-8, 8)
        outputs = self.actor(obs)
        return outputs if self.log_std is not None else Categorical(outputs).mode

    def max_std(self) -> float:
        """The largest standard deviation of an action; 0 for discrete actions, which have none."""
        return 0.0 if self.log_std is None else self.log_std.detach().exp().max().item()

    def limit_std(self, low: float = 0.0, high: float = math.inf) -> None:
        """Keep the standard deviation of the actions between two limits. Discrete actions have none."""
        if self.log_std is not None:
            low, high = (math.log(x) if x else -math.inf for x in (low, high))
            self.log_std.data.clamp_(low, high)

    def forget(self) -> None:
        """Let statistics that were inherited from an earlier training move again."""
        for statistics in (self.obs, self.returns):
            if statistics is not None:
                statistics.count.clamp_(max=MAX_WARM_COUNT)

    def state(self) -> PolicyState:
        """Everything that it consists of, for `save_tensors`."""
        return {"format": FORMAT, "about": asdict(self.about), "weights": self.state_dict()}

    def load_state(self, state: PolicyState) -> None:
        self.about = _about(state)
        self.load_state_dict(state["weights"])

    def save(self, path: Path) -> None:
        save_tensors(path, self.state())

    @classmethod
    def load(cls, path: Path) -> Policy:
        """The policy of a file written by `save`. Raises FileError."""
        state = load_tensors(path)
        try:
            policy = cls(_about(state))
            policy.load_state(state)
        except FileError as e:
            raise FileError(f"{path}: {e}") from None
        return policy


def _about(state: object) -> About:
    """The description in a state that may hold anything. Raises FileError unless its weights are finite
    and fit the description; a network of that size is only made afterwards."""
    given = state if isinstance(state, Mapping) else {}
    if type(number := given.get("format")) is not int or number != FORMAT:
        raise FileError(f"expected a policy of format {FORMAT}, got {number!r:.20}; train it again")
    with suppress(Exception):
        about = _ABOUT.validate_python(given["about"])
        with torch.device("meta"):
            expected, weights = Policy(about).state_dict(), given["weights"]
        if all(_fits(weights[k], expected[k]) for k in expected.keys() | weights.keys()):
            return about
    raise FileError("expected finite weights of the form that the policy describes; train it again")


def _fits(weights: Tensor, expected: Tensor) -> bool:
    same = weights.shape == expected.shape and weights.dtype == expected.dtype
    return same and bool(weights.isfinite().all())


class Policies:
    """C policies of one shape, evaluated together: policy c has part c of every tensor
    `[..., C, N, ...]`.

    They normalise by the statistics as they were at the last `refresh`. These lie at a fixed place
    in memory, because a CUDA graph reads them there.
    """

    def __init__(self, members: Sequence[Policy]) -> None:
        self.members = members
        about = members[0].about
        self.kind: type[Distribution] = Gaussian if isinstance(about.action, Box) else Categorical
        self.outputs = about.outputs
        """Numbers that the actor gives for each action, and that `noise` gives too."""
        self._axis = -3 if isinstance(about.observation, Vector) else -5
        """Axis of the candidates in a tensor of observations."""
        self._norm = self._statistics()

    def refresh(self) -> None:
        """Normalise by the statistics as they are now."""
        new = self._statistics()
        if self._norm is not None and new is not None:
            self._norm.copy_(new)

    def _statistics(self) -> Tensor | None:
        """Mean and inverse deviation of the observations `[2, C, 1, O]`; None for pictures."""
        if not (known := [p.obs for p in self.members if p.obs is not None]):
            return None
        means, scales = [s.mean.float() for s in known], [s.scale() for s in known]
        return torch.stack((torch.stack(means), torch.stack(scales)))[:, :, None]

    def normalise(self, obs: Tensor) -> Tensor:
        """Vectors to zero mean and unit variance, clipped to +-8; pictures stay as they are."""
        if self._norm is None:
            return obs
        mean, scale = self._norm
        return ((obs - mean) * scale).clamp(-8, 8)

    def update_statistics(self, obs: Tensor) -> None:
        """Take in raw observations `[T, C, N, ...]`. They count from the next `refresh` on."""
        for i, policy in enumerate(self.members):
            if policy.obs is not None:
                policy.obs.update(obs[:, i].flatten(0, 1))

    def scale_rewards(self, rewards: Tensor, discounted: Tensor) -> Tensor:
        """Rewards `[C, N]` over the deviation of the discounted returns, clipped to +-10, after the
        running ones `discounted [C, N]` were taken in."""
        for policy, row in zip(self.members, discounted, strict=True):
            policy.returns.update(row[:, None])
        scales = torch.stack([p.returns.scale() for p in self.members])
        return (rewards * scales).clamp(-10, 10)

    def noise(self, n: int, generators: Sequence[Generator]) -> Tensor:
        """Random numbers to sample N actions of each policy with, `[C, N, ...]`."""
        space: Any = self.members[0].about.action
        return torch.stack([self.kind.noise(n, space, g) for g in generators])

    def distribution(self, obs: Tensor) -> Distribution:
        """Of the actions, for normalised observations."""
        outputs = _outputs([p.actor for p in self.members], obs, self._axis)
        deviations = self.log_std
        return Categorical(outputs) if deviations is None else Gaussian(outputs, deviations)

    def critic(self, obs: Tensor) -> Tensor:
        """Values `[..., C, N]` of normalised observations."""
        return _outputs([p.critic for p in self.members], obs, self._axis).squeeze(-1)

    def exploration(self) -> dict[str, Tensor]:
        """Figure of the learning curve: the mean standard deviation of each policy's actions, `[C]`."""
        return {} if self.log_std is None else {"std": self.log_std.exp().mean((1, 2))}

    @property
    def log_std(self) -> Tensor | None:
        """`[C, 1, A]`, None for discrete actions"""
        known: list[Tensor] = [p.log_std for p in self.members if p.log_std is not None]
        if len(known) == 1:  # a stack would be a copy
            return known[0][None, None]
        return torch.stack(known)[:, None] if known else None


def _outputs(nets: Sequence[nn.Sequential], x: Tensor, axis: int) -> Tensor:
    """Outputs `[..., C, N, outputs]` of C networks: one batched product for each linear layer."""
    if len(nets) == 1:
        return nets[0](x)
    for layers in zip(*nets, strict=True):
        if isinstance(layers[0], nn.Linear):
            weights = torch.stack([layer.weight for layer in layers])
            x = x @ weights.mT + torch.stack([layer.bias for layer in layers])[:, None]
        elif isinstance(layers[0], Convolutions):
            parts = zip(layers, x.unbind(axis), strict=True)
            x = torch.stack([layer(part) for layer, part in parts], -3)
        else:
            x = layers[0](x)
    return x
