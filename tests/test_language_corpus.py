"""Rewards in the manner of published ones: taken at once, or after one round that follows the hints.

tests/rewards/published/ has our own texts, with ideas and habits of Eureka, Text2Reward, Isaac Gym,
legged_gym, dm_control, Gymnasium, Brax, MuJoCo Playground, Isaac Lab, Language-to-Reward and of
language models. `### NAME` begins a text; `### NAME: mended` is what a reader makes of it with nothing
but the messages of its refusal.
"""

from __future__ import annotations

import re
from pathlib import Path

from reelward.language import RewardError, check_contract, compile_reward
from reelward.language.errors import Diagnostic
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


def refusal(source: str) -> list[Diagnostic]:
    """What is wrong with a text; nothing where it is taken."""
    robot = (re.findall(r"^# robot: (\w+)", source, re.M) or ["biped"])[0]
    fields = load_robot(robot).fields
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
