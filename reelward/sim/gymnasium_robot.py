"""A robot that is an environment of Gymnasium: the YAML that names what its observations mean."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field as Key
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from reelward.runtime.validation import nearest
from reelward.sim.field import Field
from reelward.sim.schema import BaseRobot, RobotError, Strict
from reelward.sim.spaces import ActionSpace, Box, Discrete, ObservationSpace, Picture, Vector

if TYPE_CHECKING:
    from gymnasium import Env

RESERVED = ("time", "action", "task_reward", "image")
"""fields that every environment has, or may have"""


class Columns(Strict):
    """Which numbers of the observation a field is."""

    obs: NonNegativeInt | tuple[NonNegativeInt, PositiveInt]
    """a column, or the first column and the one after the last; of the flattened observation"""
    unit: str
    meaning: str
    names: tuple[str, ...] = ()
    """of the columns, where there are several"""

    @property
    def index(self) -> int | slice:
        return self.obs if isinstance(self.obs, int) else slice(*self.obs)

    @property
    def shape(self) -> tuple[int, ...]:
        return () if isinstance(self.obs, int) else (self.obs[1] - self.obs[0],)


class GymnasiumRobot(BaseRobot):
    """What robot.yaml contains where the robot is an environment of Gymnasium."""

    gymnasium: str
    """identifier, as for gymnasium.make"""
    dt: PositiveFloat
    """control step (s)"""
    columns: dict[str, Columns] = Key(alias="fields")
    """fields by name"""
    picture: tuple[PositiveInt, PositiveInt] | None = None
    """height and width of the field `image`; None where there is no such field"""
    observation: Literal["vector", "picture"] = "vector"
    """what the policy sees: the environment's observation or the picture"""

    @model_validator(mode="after")
    def _fits_together(self) -> GymnasiumRobot:
        if self.observation == "picture" and self.picture is None:
            raise ValueError("observation: picture needs `picture: [height, width]`")
        for name, columns in self.columns.items():
            if name in RESERVED or not name.isidentifier():
                raise ValueError(
                    f"fields.{name}: expected a name of letters, digits and underscores other than "
                    f"{', '.join(RESERVED)}"
                )
            size = math.prod(columns.shape)
            if size < 1:
                raise ValueError(f"fields.{name}.obs: expected [first, after the last]")
            if columns.names and len(columns.names) != size:
                raise ValueError(f"fields.{name}.names: expected {size}, got {len(columns.names)}")
        return self

    @property
    def keypoints(self) -> Mapping[str, object]:
        """None: nothing is known of its body."""
        return {}

    @property
    def feet(self) -> Mapping[str, Any]:
        """None, likewise."""
        return {}

    @property
    def leg_length_m(self) -> float:
        """Nothing is known of its body."""
        return math.nan

    @property
    def free(self) -> bool:
        """Nothing is known of its body."""
        return False

    def make(self) -> Env[Any, Any]:
        """A new environment, without a time limit. Raises RobotError."""
        import gymnasium  # here, because other robots do without it

        for device in ("VIDEO", "AUDIO"):  # pygame draws to memory; without a screen it complains
            os.environ.setdefault(f"SDL_{device}DRIVER", "dummy")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of newer versions
                return gymnasium.make(
                    self.gymnasium, max_episode_steps=-1, disable_env_checker=True,
                    render_mode="rgb_array" if self.picture else None,
                )  # fmt: skip
        except Exception as e:  # the constructor of an environment may raise anything
            reason = f"cannot make {self.gymnasium}: {' '.join(str(e).split()) or type(e).__name__}"
            known, name = gymnasium.registry, self.gymnasium.rpartition(":")[2]
            near = nearest(name, known, "")
            if (
                isinstance(e, gymnasium.error.Error)
                and name not in known
                and near
                and "you mean" not in reason
            ):
                reason += f"; {near}"
            raise self._error(reason) from e

    def _error(self, complaint: str) -> RobotError:
        return RobotError(f"robot {self.name}: {complaint}")

    @cached_property
    def _spaces(self) -> tuple[int, ActionSpace]:
        """Size of the flattened observation, and the actions. Raises RobotError."""
        from gymnasium import spaces

        env = self.make()
        seen, acts, modes = env.observation_space, env.action_space, env.metadata["render_modes"]
        env.close()
        if not seen.is_np_flattenable:
            raise self._error(
                f"expected observations of numbers, got {seen}; wrap it to give a Box"
            )
        if self.picture and "rgb_array" not in modes:
            raise self._error(
                f"picture: {self.gymnasium} draws no rgb_array, only {', '.join(modes) or 'nothing'}; "
                "delete the key"
            )
        size = spaces.flatdim(seen)
        for name, columns in self.columns.items():
            last = columns.obs + 1 if isinstance(columns.obs, int) else columns.obs[1]
            if last > size:
                raise self._error(
                    f"fields.{name}.obs: the observation has {size} columns, got {columns.obs}"
                )
        if isinstance(acts, spaces.Discrete):
            return size, Discrete(int(acts.n))
        if not isinstance(acts, spaces.Box):
            kind = type(acts).__name__
            raise self._error(
                f"expected actions of one Discrete or one Box, got {kind}: {acts}; wrap the "
                "environment to take one"
            )
        with np.errstate(over="ignore"):
            if not np.isfinite(acts.high.astype(np.float32) - acts.low.astype(np.float32)).all():
                raise self._error(
                    f"expected bounded actions, which -1 to 1 can be scaled to, got {acts}; wrap the "
                    "environment in gymnasium.wrappers.RescaleAction, or bound its Box"
                )
        return size, Box(spaces.flatdim(acts))

    @property
    def observation_size(self) -> int:
        """Numbers in the flattened observation of the environment."""
        return self._spaces[0]

    @property
    def observation_space(self) -> ObservationSpace:
        if self.observation == "picture" and self.picture:
            return Picture(*self.picture)
        return Vector(self.observation_size)

    @property
    def action_space(self) -> ActionSpace:
        return self._spaces[1]

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Those of the YAML, and what every environment has."""
        acts = self.action_space
        action = (
            Field("action", (), "1", "number of the action, 0 at the start")
            if isinstance(acts, Discrete)
            else Field("action", (acts.size,), "1", "this step's action, within -1 and 1")
        )
        fields = [
            Field("time", (), "s", "time since the episode began"),
            *(Field(n, c.shape, c.unit, c.meaning, c.names) for n, c in self.columns.items()),
            action,
            Field("task_reward", (), "1", "the environment's own reward for this step"),
        ]
        if self.picture:
            shape, meaning = (*self.picture, 3), "picture: rows from the top, columns, RGB"
            fields.append(Field("image", shape, "0 to 255", meaning, dtype="uint8"))
        return tuple(fields)
