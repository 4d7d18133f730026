"""The measure `fitness`: the mean of one field over an episode. It needs no video."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reelward.measures.base import Body, Episodes
from reelward.measures.reference import reference
from reelward.motion.record import Descriptor, Motion
from reelward.motion.subject import Subject
from reelward.records import Comparison, Row
from reelward.runtime.errors import InputError

FIELD = re.compile(r"(\w+)(?:\[(\d+)\])?")
UNIT = "mean per step"


@dataclass(frozen=True)
class Fitness:
    """A `Measure`: the mean of `field` over the whole episode, as a fraction of the way from `worst` to
    `goal`, from 0 to 1. Steps after a fall count as `worst`; where that is 0, the mean of `task_reward`
    is the return per step.

    `field` is a field of the robot with one value per environment, such as `task_reward`, or one
    column of a field, such as `root_vel[0]`. Where less is better, as with a cost, the goal is below
    `worst`. Raises InputError for another form and for a goal that equals `worst`.
    """

    field: str
    goal: float
    """the mean that counts as closeness 1"""
    worst: float = 0.0
    """the mean that counts as closeness 0"""

    def __post_init__(self) -> None:
        if not FIELD.fullmatch(self.field):
            raise InputError(
                f"measure.field: expected a field or a column of one, such as root_vel[0], got {self.field}"
            )
        if self.goal == self.worst or not math.isfinite(self._way):
            raise InputError(
                f"measure.goal: expected a number other than measure.worst = {self.worst:g}, "
                f"got {self.goal:g}"
            )

    @property
    def _way(self) -> float:
        return self.goal - self.worst

    @property
    def name(self) -> str:
        return "fitness"

    @property
    def figures(self) -> Mapping[str, str]:
        return {self.field: UNIT}

    @property
    def least_s(self) -> float:
        return 0.0

    @property
    def at_zero(self) -> str:
        side = "above" if self._way > 0 else "below"
        return (
            f"no learner's mean of {self.field} is {side} measure.worst = {self.worst:g}, so closeness is "
            f"0: raise train.env_steps, try a reward that pays for {self.field}, or change measure.worst"
        )

    @property
    def fields(self) -> tuple[str, ...]:
        return (self._column[0],)

    @property
    def _column(self) -> tuple[str, int | None]:
        match = FIELD.fullmatch(self.field)
        assert match is not None
        name, index = match.groups()
        return name, None if index is None else int(index)

    def reference(self, subject: Subject, time_scale: float | None) -> Motion:
        """A video does not count, but it is described all the same."""
        return reference(subject, time_scale)

    def alternate(self, expert: Motion) -> bool:
        return True

    def of(self, body: Body, episodes: Episodes) -> Motion:
        """The mean over all steps; its uncertainty is half the range of the episodes' means."""
        values = self._values(body, episodes)
        total = len(values)
        means = [
            (values[:n, m].sum() + self.worst * (total - n)) / total
            for m, n in enumerate(episodes.lived)
        ]
        figure = Descriptor(float(np.mean(means)), UNIT, float(np.ptp(means)) / 2, True)
        return Motion(
            subject=f"robot:{body.name}",
            fps=1 / episodes.dt,
            seconds=len(episodes.points) * episodes.dt,
            time_scale=1.0,
            leg_length_m=None,
            period=None,
            descriptors={self.field: figure},
            keypoints=tuple(body.keypoints),
            survival=episodes.survival,
        )

    def compare(self, expert: Motion, learner: Motion) -> Comparison:
        """The closeness is the way from worst to goal, within 0 and 1. The expert counts for nothing."""
        figure = learner.descriptors.get(self.field)
        value = figure.value if figure and figure.usable else None
        done = 0.0 if value is None else (value - self.worst) / self._way
        closeness = round(min(max(done, 0.0), 1.0), 6)
        short = "below" if self._way > 0 else "above"
        row = Row(
            name=self.field,
            unit=UNIT,
            expert=None,
            learner=value,
            off=None if value is None else round((value - self.goal) / abs(self._way), 4),
            tolerance=abs(self._way),
            weight=1.0,
            part=closeness,
            words=f"{short if closeness < 1 else 'reaches'} the goal {self.goal:g}",
        )
        return Comparison(closeness=closeness, survival=learner.survival, gates={}, rows=(row,))

    def _values(self, body: Body, episodes: Episodes) -> np.ndarray:
        """`[T, M]`"""
        name, index = self._column
        values = episodes.recorded[name].astype(np.float64)
        if misfit := self.misfit(body.name, values.shape[2:]):
            raise InputError(f"measure.field: {misfit}")
        return values if index is None else values[:, :, index]

    def misfit(self, robot: str, shape: tuple[int, ...]) -> str | None:
        """What is wrong where the field has this shape, without the axis of environments."""
        name, index = self._column
        if shape == () and index is None:
            return None
        if len(shape) == 1 and index is not None and index < shape[0]:
            return None
        columns = "one value" if shape == () else f"columns 0 to {shape[0] - 1}"
        if len(shape) > 1:
            columns = f"values {list(shape)}, of which none is a column"
        return f"{name} of {robot} has {columns}, got {self.field}"
