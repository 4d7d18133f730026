"""What a measure is, what it measures, and what it answers.

A measure turns the episodes of a rollout into a `Motion`, and compares a learner's motion with the
expert's. `reelward.measures.load` names the measures there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from reelward.motion.record import Motion
from reelward.motion.subject import Subject
from reelward.motion.track import Track
from reelward.records import Comparison

START_UP_S = 2.5
"""seconds at the start of an episode that are not measured, because the gait is still forming"""
LEAST_S = 3.0
"""an episode that leaves less than this after its start-up is not measured"""


class Sole(Protocol):
    @property
    def radius(self) -> float: ...


class Body(Protocol):
    """What a measure needs to know of a robot; `reelward.sim.robot.AnyRobot` is one."""

    @property
    def name(self) -> str: ...
    @property
    def keypoints(self) -> Mapping[str, object]: ...
    @property
    def feet(self) -> Mapping[str, Sole]: ...
    @property
    def leg_length_m(self) -> float: ...
    @property
    def free(self) -> bool:
        """The body can leave the plane of a side view."""


@dataclass(frozen=True)
class Episodes:
    """M deterministic episodes of T steps. The values after a fall are meaningless."""

    qpos: np.ndarray
    """[T, M, nq]; nq is 0 for a Gymnasium environment"""
    points: np.ndarray
    """[T, M, K, 3] keypoints (m)"""
    lived: np.ndarray
    """[M] steps before the fall, T if there was none"""
    terms: dict[str, float]
    """mean of each reward term per step, over the steps lived"""
    dt: float
    """seconds per step"""
    actions: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """[T, M, ...] the policy's actions"""
    seeds: tuple[int, ...] = ()
    """of the resets of M Gymnasium environments; empty for a robot with an MJCF"""
    recorded: Mapping[str, np.ndarray] = field(default_factory=dict)
    """[T, M, ...] the robot's fields that the measure asked for"""

    @property
    def survival(self) -> float:
        """Mean fraction of the episode that was lived."""
        return float(np.mean(self.lived / len(self.points)))

    def tracks(self, body: Body) -> list[Track]:
        """Each episode's keypoints in the side plane (x forward, z up), up to the fall."""
        planes = [self.points[:n, m][..., [0, 2]] for m, n in enumerate(self.lived)]
        return [
            Track(plane, np.ones(plane.shape[:2]), 1 / self.dt, tuple(body.keypoints))
            for plane in planes
        ]


class Measure(Protocol):
    """Turns rollouts into motions and compares them."""

    @property
    def name(self) -> str: ...
    @property
    def figures(self) -> Mapping[str, str]:
        """Name -> unit of every figure, in order; history.csv has a column for each."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the robot that a rollout must record at each step, beside the keypoints."""

    @property
    def least_s(self) -> float:
        """The shortest episode that can be measured (s)."""

    @property
    def at_zero(self) -> str:
        """Why the closeness of a measured learner is 0, and what to change."""

    def reference(self, subject: Subject, time_scale: float | None) -> Motion:
        """What a video shows of its subject. `time_scale` is the seconds of the world per second of
        the video, None if unknown."""

    def alternate(self, expert: Motion) -> bool:
        """Whether left and right may share one policy, half a gait cycle apart."""

    def of(self, body: Body, episodes: Episodes) -> Motion:
        """What a rollout shows, as one motion for all episodes."""

    def compare(self, expert: Motion, learner: Motion) -> Comparison:
        """The learner's figures beside the expert's."""
