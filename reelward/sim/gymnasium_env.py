"""N environments of Gymnasium, behind the interface of Env."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import gymnasium
import numpy as np
import torch
from torch import Tensor

from reelward.sim.gymnasium_robot import GymnasiumRobot
from reelward.sim.schema import RobotError
from reelward.sim.spaces import ActionSpace, Box, ObservationSpace, Picture
from reelward.sim.state import State, of_shares

MAX_SEED = 2**31 - 1


@dataclass
class Episode:
    """One environment and all that its present state follows from: the seed of its last reset and
    the actions since."""

    env: gymnasium.Env[Any, Any]
    seed: int = 0
    actions: list[np.ndarray] = field(default_factory=list)


class GymnasiumEnv:
    """N environments of one Gymnasium robot, stepped one after the other on the CPU. Tensors are on
    `device`.

    `staggered` and several seeds are as in Env. The state of an environment is saved as its seed
    and its actions, and restored by doing them again: exact for every deterministic environment.
    """

    def __init__(
        self,
        robot: GymnasiumRobot,
        n: int,
        *,
        seed: int | Sequence[int],
        staggered: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.robot, self.n, self.dt, self.device = robot, n, robot.dt, torch.device(device)
        self.limit = round(robot.episode_s / robot.dt)
        """steps of an episode"""
        seeds = [seed] if isinstance(seed, int) else seed
        size = n // len(seeds)
        self.shares = [slice(i * size, (i + 1) * size) for i in range(len(seeds))]
        self.rngs = [torch.Generator().manual_seed(s) for s in seeds]
        self._episodes = [Episode(robot.make()) for _ in range(n)]
        self._space = self._episodes[0].env.action_space
        self._obs = np.zeros((n, robot.observation_size), np.float32)
        self._reward = np.zeros(n, np.float32)
        self._age = torch.zeros(n, dtype=torch.int64)
        self._diverged = np.zeros(n, bool)
        self.ended = np.zeros(n, bool)
        """episodes that the environment itself has ended, by a fall or its own limit: no step is
        defined before their reset"""
        actions = robot.action_space
        self._action = torch.zeros((n, actions.size) if isinstance(actions, Box) else n)

        compute: dict[str, Callable[[], Tensor]] = {
            "time": lambda: self._tensor(self._age.float() * self.dt),
            "action": lambda: self._tensor(self._action),
            "task_reward": lambda: self._tensor(self._reward),
            "image": self._image,
        } | {
            name: partial(lambda i: self._tensor(self._obs[:, i]), columns.index)
            for name, columns in robot.columns.items()
        }
        self.fields = State({f.name: compute[f.name] for f in robot.fields})
        self.fields_of_shares = of_shares(self.fields, self.shares)
        self.reset(torch.ones(n, dtype=torch.bool))
        if staggered:
            for rows, rng in zip(self.shares, self.rngs, strict=True):
                self._age[rows].random_(0, self.limit, generator=rng)

    def _tensor(self, values: np.ndarray | Tensor) -> Tensor:
        """A copy on the device: the memory below changes with the next step."""
        return torch.as_tensor(values).to(self.device, copy=True)

    @property
    def observation_space(self) -> ObservationSpace:
        return self.robot.observation_space

    @property
    def action_space(self) -> ActionSpace:
        return self.robot.action_space

    @property
    def diverged(self) -> Tensor:
        """Environments whose last step gave a number that is not finite, bool `[N]`."""
        return self._tensor(self._diverged)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the last reset of each environment."""
        return tuple(episode.seed for episode in self._episodes)

    # --- stepping -----------------------------------------------------------------------------

    def observe(self) -> Tensor:
        """What the policy sees: float32 `[N, O]`, or uint8 `[N, H, W, 3]` where that is a picture."""
        if isinstance(self.observation_space, Picture):
            return self.fields["image"]
        return self._tensor(self._obs)

    def _image(self) -> Tensor:
        assert self.robot.picture is not None
        height, width = self.robot.picture
        pictures = np.empty((self.n, height, width, 3), np.uint8)
        for picture, episode in zip(pictures, self._episodes, strict=True):
            drawn = self._drawn(episode)
            picture[:] = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
        return self._tensor(pictures)

    def _drawn(self, episode: Episode) -> np.ndarray:
        """The environment's own picture, uint8 `[H, W, 3]`. Raises RobotError."""
        try:
            drawn = np.asarray(episode.env.render())
        except gymnasium.error.Error as e:
            reason = str(e).partition("\n")[0]
            raise RobotError(f"robot {self.robot.name}: no picture: {reason}") from e
        if drawn.dtype != np.uint8 or drawn.ndim != 3 or drawn.shape[2] != 3:
            raise RobotError(
                f"robot {self.robot.name}: no picture: expected uint8 [H, W, 3] from render(), got "
                f"{drawn.dtype} {list(drawn.shape)}; delete `picture`"
            )
        return drawn

    def step(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """One step of `action`: float32 `[N, A]`, clipped to +-1 and scaled to the environment's
        bounds, or int64 `[N]`. Returns (terminated, truncated), each bool `[N]`; `fields` then
        describe the state reached, before any reset."""
        action = action.cpu()
        action = action.clamp(-1, 1) if isinstance(self.action_space, Box) else action
        self._action = action.float()
        terminated, truncated = np.zeros(self.n, bool), np.zeros(self.n, bool)
        for i, one in enumerate(action.numpy()):
            terminated[i], truncated[i] = self._step(i, one)
        self._age += 1
        self.fields.forget()
        self.ended = terminated | truncated
        ended = torch.from_numpy(terminated)
        late = torch.from_numpy(truncated) | (self._age >= self.limit)
        return self._tensor(ended), self._tensor(late & ~ended)

    def _step(self, i: int, action: np.ndarray) -> tuple[bool, bool]:
        episode = self._episodes[i]
        episode.actions.append(np.array(action))
        obs, reward, terminated, truncated, _ = episode.env.step(self._native(action))
        self._see(i, obs, float(reward))
        return bool(terminated or self._diverged[i]), bool(truncated)

    def _native(self, action: np.ndarray) -> Any:
        """An action as the environment takes it."""
        space = self._space
        if isinstance(space, gymnasium.spaces.Discrete):
            return int(action) + int(space.start)
        assert isinstance(space, gymnasium.spaces.Box)
        low, high = space.low, space.high
        scaled = (low + high) / 2 + (high - low) / 2 * action.reshape(space.shape)
        return scaled.astype(space.dtype)

    def _see(self, i: int, obs: Any, reward: float) -> None:
        flat = gymnasium.spaces.flatten(self._episodes[i].env.observation_space, obs)
        row, paid = np.asarray(flat, np.float32), np.float32(reward)
        self._diverged[i] = not (np.isfinite(row).all() and np.isfinite(paid))
        self._obs[i], self._reward[i] = np.nan_to_num(row), np.nan_to_num(paid)

    def replay(self, seed: int, actions: np.ndarray, steps: Sequence[int]) -> Iterator[np.ndarray]:
        """The pictures `[H, W, 3]` after `steps`, in rising order, of the first environment: from a
        reset with `seed`, under `actions [T, ...]` as `step` takes them."""
        self._start(0, seed)
        if isinstance(self.action_space, Box):
            actions = actions.clip(-1, 1)
        begun = 0
        for step in steps:
            for action in actions[begun : step + 1]:
                self._step(0, action)
            begun = step + 1
            yield self._drawn(self._episodes[0])

    # --- starting again -----------------------------------------------------------------------

    def rows(self, which: Tensor) -> Tensor:
        """Indices `[M]` of the environments to work on where `which` (bool `[N]`) are meant: only
        those, or all where there are several shares, which must stay of equal size."""
        every = torch.ones_like(which) if len(self.shares) > 1 else which
        return every.nonzero().flatten()

    def reset(self, ended: Tensor) -> None:
        """New start states for the environments `ended` (bool `[N]`), each from a seed that its
        share's generator draws."""
        ended = ended.cpu()
        for rows, rng in zip(self.shares, self.rngs, strict=True):
            chosen = (rows.start + ended[rows].nonzero().flatten()).tolist()
            seeds = torch.randint(MAX_SEED, (len(chosen),), generator=rng).tolist()
            for i, seed in zip(chosen, seeds, strict=True):
                self._start(i, seed)
        self._age[ended] = 0
        self._action[ended] = 0
        self.fields.forget()

    def _start(self, i: int, seed: int) -> None:
        episode = self._episodes[i]
        episode.seed, episode.actions = seed, []
        obs, _ = episode.env.reset(seed=seed)
        self._see(i, obs, 0.0)

    # --- exact resume -------------------------------------------------------------------------

    def state_dict(self, share: int = 0) -> dict[str, Tensor]:
        """Everything that the next step of a share depends on."""
        rows = self.shares[share]
        episodes = self._episodes[rows]
        actions = [action for e in episodes for action in e.actions]
        return {
            "age": self._age[rows].clone(),
            "action": self._action[rows].clone(),
            "seeds": torch.tensor([e.seed for e in episodes]),
            "lengths": torch.tensor([len(e.actions) for e in episodes]),
            "actions": torch.from_numpy(np.array(actions)),
            "rng": self.rngs[share].get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor], share: int = 0) -> None:
        rows = self.shares[share]
        parts = state["actions"].numpy()
        ends = state["lengths"].cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        seeds = state["seeds"].tolist()
        for k, i in enumerate(range(rows.start, rows.stop)):
            self._start(i, seeds[k])
            for action in parts[starts[k] : ends[k]]:
                self._step(i, action)
        self._age[rows], self._action[rows] = state["age"], state["action"]
        self.rngs[share].set_state(state["rng"])
        self.fields.forget()
