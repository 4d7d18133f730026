"""Functions as a user may install them, for tests/test_native.py."""

from __future__ import annotations

import ctypes
import os
import signal

import torch
from torch import Tensor


def low(state: dict[str, Tensor], height: float = 1.0) -> Tensor:
    """1 below a height (m) of the root, less above.

    Only the first line reaches the author.
    """
    return torch.sigmoid(8 * (height - state["root_pos"][:, 2]))


def flat(state: dict[str, Tensor]) -> Tensor:
    return state["root_pos"]


def double(state: dict[str, Tensor]) -> Tensor:
    return state["time"].double()


def infinite(state: dict[str, Tensor]) -> Tensor:
    return torch.log(state["root_pos"][:, 2])


def raises(state: dict[str, Tensor]) -> Tensor:
    return state["no such field"]


def dies(state: dict[str, Tensor]) -> Tensor:
    os.kill(os.getpid(), signal.SIGKILL)
    return state["time"]


def dies_alone(state: dict[str, Tensor]) -> Tensor:
    """Ends its process where there is a single environment, as only the check has it."""
    if len(state["time"]) == 1:
        ctypes.string_at(0)
    return state["time"] * 1.0


def number(state: dict[str, Tensor]) -> float:
    return 1.0
