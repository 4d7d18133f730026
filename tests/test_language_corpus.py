"""Rewards in the manner of published ones: taken at once, or after one round that follows the hints.

tests/rewards/published/ has our own texts, with ideas and habits of Eureka, Text2Reward, Isaac Gym,
legged_gym, dm_control, Gymnasium, Brax, MuJoCo Playground, Isaac Lab, Language-to-Reward and of
language models. `### NAME` begins a text; `### NAME: mended` is what a reader makes of it with nothing
but the messages of its refusal.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from language_fields import value

from reelward.language import RewardError, check_contract, compile_reward
from reelward.language.errors import Diagnostic
from reelward.sim.field import Field
from reelward.sim.robot import load_robot

FOLDER = Path(__file__).parent / "rewards" / "published"
MENDED = ": mended"


def corpus() -> dict[str, str]:
    texts: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for part in re.split(r"^### ", path.read_text(), flags=re.M)[1:]:
            name, _, text = part.partition("\n")
            texts[f"{path.stem}: {name}"] = text
    return texts


@functools.cache
def fields_of(robot: str) -> tuple[Field, ...]:
    return load_robot(robot).fields


def refusal(source: str) -> list[Diagnostic]:
    """What is wrong with a text; nothing where it is taken."""
    robot = (re.findall(r"^# robot: (\w+)", source, re.M) or ["biped"])[0]
    fields = fields_of(robot)
    try:
        return check_contract(compile_reward(source, fields), fields)
    except RewardError as error:
        return error.errors


def test_published_manners_are_taken_at_once_or_after_one_round(capsys):
    texts = corpus()
    first = {name for name in texts if not name.endswith(MENDED)}
    errors = {name: refusal(texts[name]) for name in first}
    refused = {name for name in first if errors[name]}
    for name in refused:
        assert all(e.hint for e in errors[name]), f"{name}: {errors[name]}"
    mended = {name for name in refused if not refusal(texts[name + MENDED])}
    taken, both = len(first) - len(refused), len(first) - len(refused) + len(mended)
    with capsys.disabled():
        print(
            f"\n{len(first)} rewards in published manners: {taken} taken at once, "
            f"{both} after one round"
        )
    assert {name.removesuffix(MENDED) for name in texts} - first == set()
    assert len(first) >= 60 and taken >= len(first) / 2 and both >= 0.95 * len(first)
    page = (Path(__file__).parents[1] / "docs" / "robustness.md").read_text()
    assert f"{len(first)} texts: {taken} at once, {both} after one round" in page


def test_all_mistakes_of_an_eureka_reward_come_together():
    text = """
from isaacgym.torch_utils import quat_rotate_inverse

@torch.jit.script
@profile
def compute_reward(root_states, actions, joint_vel):
    v = root_states[:, 7]
    mask = joint_vel.foo()
    out = torch.zeros_like(joint_vel)
    out[:, 0] = 1.0
    return v - mask, {"v": v, "mean": actions.mean(), "limit": 1e999}
"""
    errors = refusal(text)
    assert [(e.code, e.line) for e in errors] == [
        ("E_IMPORT", 2), ("E_FORM", 5), ("E_REWARD", 6), ("E_REWARD", 6), ("E_OP", 8), ("E_STATE", 10),
        ("E_ARG", 11),
    ]  # fmt: skip
    arguments = next(e for e in errors if "arguments" in e.message)
    assert "root_states, actions of compute_reward" in arguments.message
    assert "s.root_vel" in arguments.hint and "actions: s.action" in arguments.hint


def test_a_total_counts_nothing_twice():
    """By its name, by its value, or beside the dict: the total is the sum of the terms."""
    start = 'def reward(s):\n    t = {"a": s.root_vel[:, 0].tanh(), "b": 0.5 * s.up[:, 2]}\n'
    for name in ("total", "total_reward", "Reward", "sum"):
        (error,) = refusal(f'{start}    t["{name}"] = t["a"] - 1\n    return t\n')
        assert error.code == "E_REWARD" and error.line == 3 and "twice" in error.message
    (error,) = refusal(f'{start}    t["score"] = sum(t.values())\n    return t\n')
    assert error.line == 3 and "'score' is the sum of all others" in error.message
    assert refusal(f"{start}    return sum(t.values()), t\n") == []
    (error,) = refusal(f"{start}    return 2 * sum(t.values()), t\n")
    assert "do not add up to the total" in error.message and "dict alone" in error.hint
    assert refusal('def reward(s):\n    return {"reward": s.up[:, 2]}\n') == []


@pytest.mark.parametrize(("expression", "hint"), [
    ("sum(s.action ** 2)", r"x\.sum\(dim=-1\)"), ("[v for v in s.joint_pos]", r"x\[:, i\]"),
    ("s.joint_pos.right_knee", r'x\["right_knee"\]'), ("s.root_vel.x", r"x\[:, 0\]"),
    ("s.joint_pos['right_knee', 'left_knee']", r"x\[\['right_knee', 'left_knee'\]\]"),
    ("speed(s.root_vel, 1.0, 0.5)", "give s itself"), ("s.get('time')", r's\["name"\]'),
    ("getattr(s, 'time')", r's\["name"\]'), ("torch.nn.ReLU()(s.time)", "arithmetic, torch.where"),
    ("s.time << 2", "expressions"), ("F.mse_loss(s.time, s.power)", 'reduction="none"'),
    ("torch.arange(s.time.shape[0])", "leave it out"), ("W.a * s.time", r'by key: \["a"\]'),
    ('s.scene["robot"].data.root_lin_vel_b[:, 0]', "s.root_vel"), ("s.data.qpos[2:]", "s.joint_pos"),
    ("s._ctrl_cost_weight * s.power", "constant"), ("rewards.tolerance(s.time)", r"tolerance\(x, low"),
    ("torch.softmax(s.joint_pos, dim=5)", "axes are 0 to 1"), ("s.joint_pos + s.up", "equal or 1"),
])  # fmt: skip
def test_a_refusal_tells_what_to_write(expression, hint):
    (error,) = refusal(
        f'W = {{"a": 1}}\ndef reward(s):\n    x = {expression}\n    return {{"a": x}}\n'
    )
    assert error.line == 3 and re.search(hint, error.hint)


@pytest.mark.parametrize("expression", [
    "all(c > 0 for c in (s.foot_contact[:, 0], s.foot_contact[:, 1]))", "np.float32(0.5) * s.time",
    "s.time.new_tensor([1.0]).sum() * s.time", "abs(s.time > 1)", "(100 // s.foot_contact.long()).amin(1) * 0",
    "F.huber_loss(s.action, s.prev_action, reduction='none', delta=0.5).sum(-1)", "float('2') * s.time",
    "jp.sum(s.action, axis=-1, keepdims=True)[:, 0]", "(s.foot_contact > 0).argmax(dim=1)",
])  # fmt: skip
def test_what_people_write_is_in_the_language(expression):
    source = f'def reward(s):\n    return {{"a": {expression}}}\n'
    assert compile_reward(source, fields_of("biped")).terms == ("a",)


def test_sequences_and_losses_by_numbers():
    """The values are those of torch."""
    assert value("(s.v * torch.arange(3)).sum(-1)") == [8, 2, 11, 6]
    assert value("(s.v * torch.arange(1, 7, 2)).sum(-1)") == [22, 4, 29, 18]
    assert value("(s.v * np.linspace(0, 1, 3)).sum(-1)") == [4, 1, 5.5, 3]
    loss = 'torch.nn.functional.{}(s.x, s.v[:, 0], reduction="none", {})'
    assert value(loss.format("smooth_l1_loss", "beta=2.0")) == [1, 0.5625, 1, 1]
    assert value(loss.format("huber_loss", "delta=0.5")) == [0.875, 0.625, 0.875, 0.875]
    assert value(loss.format("mse_loss", "")) == [4, 2.25, 4, 4]
    assert value("all(c > 0 for c in (s.x, s.v[:, 1]))") == [0, 0, 1, 1]
    assert value("f(s.x, 1, 2, k=3)", "def f(x, *rest, **named):\n    return x + sum(rest) + named['k']") == [
        5, 6.5, 8, 10,
    ]  # fmt: skip
