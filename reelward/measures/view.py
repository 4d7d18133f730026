"""A body's track as the descriptors of a gait see it, and which keypoints give them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reelward.motion.signals import flexion, limb, sole, standing, thigh, trunk
from reelward.motion.track import Scale, Track

GRAVITY = 9.81

Names = Collection[str]
"""the names of a body's keypoints"""


@dataclass(frozen=True)
class View:
    """A smooth track, with the signals that several descriptors share."""

    track: Track
    scale: Scale
    near: str | None = None
    """the only leg whose joint ranges count; None: all legs"""

    @cached_property
    def hip(self) -> np.ndarray:
        """`[T, 2]`"""
        return self.track.centre

    @cached_property
    def stands(self) -> dict[str, np.ndarray]:
        """Leg -> `[T]` bool: whether its foot stands."""
        return {g: standing(self.track, g, self.scale.leg) for g in self.track.legs}

    @cached_property
    def grounded(self) -> np.ndarray:
        """`[T]` bool: whether any foot stands."""
        return np.any(list(self.stands.values()), axis=0)

    @cached_property
    def hip_height(self) -> np.ndarray:
        """`[T]` of the hip over the lowest sole."""
        soles = np.min([sole(self.track, g) for g in self.track.legs], axis=0)
        return self.hip[:, 1] - soles + self.scale.sole

    @cached_property
    def knees(self) -> dict[str, np.ndarray]:
        """Leg -> `[T]` degrees of flexion, for the legs that have a thigh."""
        return {g: flexion(self.track, g) for g in self._legs_with_thigh}

    @cached_property
    def thighs(self) -> dict[str, np.ndarray]:
        """Leg -> `[T]` degrees against the vertical."""
        return {g: thigh(self.track, g) for g in self._legs_with_thigh}

    @cached_property
    def limbs(self) -> list[np.ndarray]:
        """`[T]` degrees of the line from hip to ankle, of the first two legs."""
        return [limb(self.track, f"{g}_hip", f"{g}_ankle") for g in self.track.legs[:2]]

    @cached_property
    def ankle_gap(self) -> np.ndarray:
        """`[T]` by which the first leg's ankle is ahead of the second's."""
        first, second = (self.track.point(f"{g}_ankle")[:, 0] for g in self.track.legs[:2])
        return first - second

    @cached_property
    def pitch(self) -> np.ndarray:
        """`[T]` degrees of the trunk."""
        return trunk(self.track)

    @cached_property
    def to_froude(self) -> float:
        s = self.scale
        return self.track.fps / s.leg * np.sqrt(s.metres / GRAVITY) / (s.time or 1.0)

    @property
    def _legs_with_thigh(self) -> list[str]:
        return [g for g in self.track.legs if self.track.has(f"{g}_hip", f"{g}_knee")]


def legs(names: Names) -> list[str]:
    return [n[: -len("_ankle")] for n in names if n.endswith("_ankle")]


def any_point(names: Names) -> bool:
    return bool(names)


def a_thigh(names: Names) -> bool:
    return any({f"{g}_hip", f"{g}_knee"} <= set(names) for g in legs(names))


def a_foot(names: Names) -> bool:
    return any({f"{g}_heel", f"{g}_toe"} & set(names) for g in legs(names))


def two_ankles(names: Names) -> bool:
    return len(legs(names)) > 1


def two_limbs(names: Names) -> bool:
    return two_ankles(names) and all(f"{g}_hip" in names for g in legs(names)[:2])


def right_and_left_leg(names: Names) -> bool:
    joints = ("hip", "knee", "ankle")
    return all({f"{g}_{j}" for j in joints} <= set(names) for g in ("right", "left"))


def right_and_left_foot(names: Names) -> bool:
    return all(
        g in legs(names) and {f"{g}_heel", f"{g}_toe"} & set(names) for g in ("right", "left")
    )


def a_trunk(names: Names) -> bool:
    return "shoulder" in names and any(n == "hip" or n.endswith("_hip") for n in names)
