"""Environments whose best policy is known: small, vectorised, with discrete actions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reelward.sim.field import Field
from reelward.sim.spaces import Discrete, ObservationSpace, Picture, Vector

FIELDS = (Field("pay", (), "1", "what the last action earned"),)
REWARD = 'def reward(s):\n    return {"pay": s.pay}\n'


class Toy:
    """N environments that end after `limit` steps, or when `play` says so."""

    device = torch.device("cpu")
    observation_space: ObservationSpace
    action_space = Discrete(2)
    """0 is left, 1 is right"""
    limit: int

    def __init__(self, n: int, seed: int = 0) -> None:
        torch.set_num_threads(1)  # as in every training on the CPU
        self.rng = torch.Generator().manual_seed(seed)
        self.age = torch.zeros(n, dtype=torch.long)
        self.diverged = torch.zeros(n, dtype=torch.bool)
        self.fields_of_shares = [{"pay": torch.zeros(n)}]
        self.place = torch.zeros(n, dtype=torch.long)
        self.reset(torch.ones(n, dtype=torch.bool))

    def step(self, action: Tensor) -> tuple[Tensor, Tensor]:
        assert action.dtype == torch.int64 and action.shape == self.age.shape
        self.age += 1
        pay, terminated = self.play(action)
        self.fields_of_shares[0]["pay"] = pay
        return terminated, (self.age >= self.limit) & ~terminated

    def rows(self, which: Tensor) -> Tensor:
        return which.nonzero().flatten()

    def reset(self, ended: Tensor) -> None:
        self.age[ended] = 0
        self.place[ended] = self.start(int(ended.sum()))

    def state_dict(self, share: int = 0) -> dict[str, Tensor]:
        return {"age": self.age.clone(), "place": self.place.clone(), "rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor], share: int = 0) -> None:
        self.age, self.place = state["age"], state["place"]
        self.rng.set_state(state["rng"])

    def start(self, n: int) -> Tensor:
        raise NotImplementedError

    def observe(self) -> Tensor:
        raise NotImplementedError

    def play(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """What the action earns, and which episodes end by it."""
        raise NotImplementedError


class Corridor(Toy):
    """Five cells. The walk begins in the first, every step costs 0.1, and the last cell pays 1 and
    ends the episode. The best policy goes right: 4 steps, a return of 0.6."""

    observation_space = Vector(5)
    limit = 20

    def start(self, n: int) -> Tensor:
        return torch.zeros(n, dtype=torch.long)

    def observe(self) -> Tensor:
        return torch.nn.functional.one_hot(self.place, 5).float()

    def play(self, action: Tensor) -> tuple[Tensor, Tensor]:
        self.place = (self.place + 2 * action - 1).clamp(min=0)
        arrived = self.place == 4
        return torch.where(arrived, 0.9, -0.1), arrived


class BrightSpot(Toy):
    """A picture with a bright spot on its left or right half, in any row and column there. The action
    that names the half earns 1, the other 0; then comes another picture. The best policy earns 1."""

    observation_space = Picture(16, 16, 1)
    limit = 8

    def start(self, n: int) -> Tensor:
        return torch.randint(256, (n,), generator=self.rng)

    def observe(self) -> Tensor:
        pictures = torch.zeros(len(self.age), 256, dtype=torch.uint8)
        pictures[torch.arange(len(self.age)), self.place] = 255
        return pictures.view(-1, 16, 16, 1)

    def play(self, action: Tensor) -> tuple[Tensor, Tensor]:
        right = self.place % 16 >= 8
        self.place = self.start(len(self.age))
        return (action == right).float(), torch.zeros_like(self.diverged)
