"""The lines that make each term of a reward, as a reader of the text would name them."""

from __future__ import annotations

from pathlib import Path

import pytest
from language_fields import X

from reelward.language.spans import term_spans
from reelward.sim.robot import load_robot

REWARDS = Path(__file__).parent / "rewards"


@pytest.mark.parametrize(("file", "spans"), [
    ("comprehension_terms", {
        "still_right_hip": (4,), "still_left_hip": (4,), "still_right_knee": (4,),
        "still_left_knee": (4,), "forward": (5,),
    }),
    ("typed_signature", {"run": (7,), "cost": (8,)}),
])  # fmt: skip
def test_terms_of_rewards_as_people_write_them(file, spans):
    assert term_spans((REWARDS / f"{file}.py").read_text(), load_robot("biped").fields) == spans


@pytest.mark.parametrize(("text", "spans"), [
    # a value over two lines, and a helper's dict that is no term
    ("def reward(s):\n    w = {'low': {'a': 2}}\n    return {\n        'a': s.x\n        + 1,\n        'b': 1.0}",
     {"a": (2, 4, 5), "b": (6,)}),
    # module constants of the same name make no term, unless they are the terms
    ("TARGET = {'a': 1}\ndef reward(s):\n    return {'a': s.x - TARGET['a']}", {"a": (3,)}),
    ("ALL = {'a': 1}\ndef reward(s):\n    return ALL", {"a": (1,)}),
    # in steps, in a helper, by keyword
    ("def more(t, s):\n    t['b'] = s.x\ndef reward(s):\n    t = {}\n    t['a'] = s.x\n    t['a'] += 1\n    more(t, s)\n    return t",
     {"a": (5, 6), "b": (2,)}),
    ("def reward(s):\n    return dict(\n        a=s.x,\n        b=1)", {"a": (4,), "b": (4,)}),
    # names of the robot
    ("def reward(s):\n    return {f'at_{n}': s.on[n] for n in s.on.names}",
     {"at_right": (2,), "at_left": (2,)}),
    # mistakes, and unknown native terms
    ("def reward(s):\n    return {'a': s.nothing,\n            'b': style(s)}", {"a": (2,), "b": (3,)}),
    ("def reward(s):\n    return s.x", {}), ("no reward", {}), ("", {}),
])  # fmt: skip
def test_terms_and_the_lines_that_make_them(text, spans):
    assert term_spans(text, X) == spans


def test_every_term_of_a_compiled_reward_has_its_line():
    from reelward.language.compiler import compile_reward
    from reelward.language.errors import RewardError

    fields, compiled = load_robot("biped").fields, 0
    for path in REWARDS.glob("*.py"):
        try:
            reward = compile_reward(path.read_text(), fields)
        except RewardError:
            continue
        spans = term_spans(path.read_text(), fields)
        assert tuple(spans) == reward.terms, path.name
        assert all(reward.lines[name] in lines for name, lines in spans.items()), path.name
        compiled += 1
    assert compiled > 30
