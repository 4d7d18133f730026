"""A field: one named quantity of the state that rewards, policies and prompts may read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """A named tensor `[N, *shape]` of the state of N environments."""

    name: str
    shape: tuple[int, ...]
    """without the environment axis"""
    unit: str
    meaning: str
    names: tuple[str, ...] = ()
    """names along the first axis of `shape` (joints, bodies, feet); empty where it has none"""
    dtype: str = "float32"
    """"uint8" for pictures"""
