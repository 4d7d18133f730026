"""The one description of what a reward, a policy and a prompt may read of a robot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """A named tensor of the state: float32 `[N, *shape]`, N environments first."""

    name: str
    shape: tuple[int, ...]
    """without the environment axis"""
    unit: str
    meaning: str
    names: tuple[str, ...] = ()
    """names along the first axis of `shape` (joints, bodies, feet), where it has them"""
