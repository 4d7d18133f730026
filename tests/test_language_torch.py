"""A reward as the text of a plain torch function: executed here, it gives the same numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from language_fields import STATE, X
from language_programs import random_numpy_program, random_program

from reelward.language.compiler import compile_reward
from reelward.language.contract import trial_states
from reelward.language.errors import RewardError
from reelward.language.reward import Reward
from reelward.sim.robot import load_robot

REWARDS = sorted((Path(__file__).parent / "rewards").glob("*.py"))


def executed(reward: Reward, **names: Any) -> Any:
    """The function that the text defines; the text is our own."""
    exec(reward.as_torch(), names)
    return names["reward"]


def assert_same(reward: Reward, state: dict[str, torch.Tensor]) -> None:
    terms, expected = executed(reward)(state), reward(state)
    assert list(terms) == list(expected)
    for name, x in expected.items():
        assert terms[name].dtype == torch.float32
        torch.testing.assert_close(terms[name], x, rtol=0, atol=1e-6, equal_nan=True)


def test_the_text_computes_what_the_reward_computes():
    compiled = 0
    for path in REWARDS:
        source = path.read_text()
        fields = load_robot((re.findall(r"^# robot: (\w+)", source) or ["biped"])[0]).fields
        try:
            reward = compile_reward(source, fields)
        except RewardError:
            continue
        compiled += 1
        for seed in range(3):
            assert_same(reward, trial_states(fields, seed=seed)["random"])
    assert compiled > 30


@pytest.mark.parametrize("program", [random_program, random_numpy_program])
def test_the_text_of_generated_programs_computes_the_same(program):
    fields = load_robot("biped").fields
    for i in range(30):
        assert_same(compile_reward(program(i), fields), trial_states(fields, seed=i)["random"])


@pytest.mark.parametrize("expression", [
    "(s.v * torch.tensor([1.0, 0.0, 2.0])).sum(1)", "torch.maximum(s.x, 0.5)", "s.v.std(dim=1)",
    "s.v.median(dim=1).values", "torch.cross(s.v, s.v.flip(1), dim=1)[:, 0]", "s.m.norm(dim=(1, 2))",
    "s.m.reshape(s.x.shape[0], 6)[:, ::2].sum(1)", "2 ** -s.x", "(-3) ** s.v.argmax(dim=1)", "1 - -s.x",
    "s.m[:, 1, 1:].mean(1)", "s.m[:, :, 2].cumsum(1)[:, 1]", "s.v.softmax(dim=1)[:, 1]",
    "F.softplus(s.x) + F.normalize(s.v, dim=1)[:, 0]", "torch.stack([s.x, s.x, 1.0], dim=1).amax(1)",
    "np.median(s.v, axis=1)", "s.x if s.x > 1 else -s.x", "(s.x > 0) & ~(s.x > 3)", "s.x",
])  # fmt: skip
def test_operations_of_every_form(expression):
    reward = compile_reward(
        f"import torch.nn.functional as F\ndef reward(s):\n    return {{'a': {expression}}}", X
    )
    assert_same(reward, STATE)


def test_the_text_names_what_it_reads_and_what_is_the_users_own():
    text = 'PERIOD = 2\ndef reward(s):\n    return {"a": s.x * style(s) + s.v["b"]}'
    reward = compile_reward(text, X, native={"style": lambda state: state["x"]})
    printed = reward.as_torch()
    assert reward.native == ("style",) and "style(s)" in printed
    assert '    s["v"]  float32 [N, 3], m/s: a vector\n' in printed and "columns a, b, c" in printed
    terms = executed(reward, style=lambda s: s["x"])(STATE)
    assert terms["a"].tolist() == [3.0, 0.25, 7.0, 18.0]


def test_lines_are_short_and_the_text_imports_torch_alone():
    fields = load_robot("biped").fields
    source = (Path(__file__).parent / "rewards/measured_author.py").read_text()
    printed = compile_reward(source, fields).as_torch()
    code = printed.split('"""')[2]
    assert max(map(len, code.splitlines())) < 120
    assert [line for line in printed.splitlines() if "import" in line] == [
        "import torch",
        "from torch import Tensor",
    ]
