"""The fields of a small made-up robot, four of its states, and the value of an expression on them."""

from __future__ import annotations

import pytest
import torch

from reelward.language.compiler import compile_reward
from reelward.language.errors import RewardError
from reelward.sim.field import Field

X = (
    Field("x", (), "m", "a number"),
    Field("v", (3,), "m/s", "a vector", ("a", "b", "c")),
    Field("m", (2, 3), "1", "a matrix", ("one", "two")),
    Field("on", (2,), "0 or 1", "flags", ("right", "left")),
)
STATE = {
    "x": torch.tensor([-1.0, 0.5, 2.0, 4.0]),
    "v": torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0], [0.0, 3.0, 4.0], [2.0, 2.0, 2.0]]),
    "m": torch.arange(24.0).reshape(4, 2, 3),
    "on": torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
}


def value(expression: str, before: str = "", inside: str = "") -> list[float]:
    """The value of an expression of `s` on the four environments of STATE."""
    body = "".join(f"    {line}\n" for line in inside.splitlines())
    reward = compile_reward(
        f'{before}\ndef reward(s):\n{body}    return {{"t": {expression}}}\n', X
    )
    out = reward(STATE)["t"]
    assert out.dtype == torch.float32 and out.shape == (4,)
    return pytest.approx(out.tolist(), rel=1e-6)


def refusal(source: str, fields: tuple[Field, ...] = X) -> list[tuple[str, int]]:
    with pytest.raises(RewardError) as caught:
        compile_reward(source, fields)
    return [(e.code, e.line) for e in caught.value.errors]
