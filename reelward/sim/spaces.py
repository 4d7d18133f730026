"""What a policy sees and what it does: the sizes and types of observations and actions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Vector:
    """Observations float32 `[N, size]`."""

    size: int


@dataclass(frozen=True)
class Picture:
    """Observations uint8 `[N, height, width, channels]`."""

    height: int
    width: int
    channels: int = 3


@dataclass(frozen=True)
class Box:
    """Actions float32 `[N, size]`, each number within -1 and 1."""

    size: int


@dataclass(frozen=True)
class Discrete:
    """Actions int64 `[N]`, each one of 0 to n - 1."""

    n: int


ObservationSpace = Vector | Picture
ActionSpace = Box | Discrete
