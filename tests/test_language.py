"""The reward language by numbers: what it means, what it refuses, what it promises."""

from __future__ import annotations

import math

import pytest
import torch
from language_fields import STATE, X, refusal, value

from reelward.language.compiler import compile_reward
from reelward.language.errors import CODES, RewardError
from reelward.language.ops import OPS, SPELLINGS
from reelward.language.spellings import SPECIAL
from reelward.sim.robot import load_robot

FIELDS = load_robot("biped").fields


@pytest.mark.parametrize(("expression", "expected"), [
    ("s.x", [-1, 0.5, 2, 4]),
    ('s["x"] + 1', [0, 1.5, 3, 5]),
    ("2 - s.x / 4", [2.25, 1.875, 1.5, 1]),
    ("s.x ** 2", [1, 0.25, 4, 16]),
    ("2 ** s.x", [0.5, math.sqrt(2), 4, 16]),
    ("s.x // 1 + s.x % 1", [-1, 0.5, 2, 4]),
    ("-s.x", [1, -0.5, -2, -4]),
    ("(-3) ** s.v.argmax(dim=1) + (-2.0) ** s.x.long()", [8.5, 10, 13, 17]),
    ("abs(s.x)", [1, 0.5, 2, 4]),
    ("torch.abs(s.x)", [1, 0.5, 2, 4]),
    ("np.abs(s.x)", [1, 0.5, 2, 4]),
    ("s.x.abs()", [1, 0.5, 2, 4]),
    ("s.v[:, 0]", [1, -1, 0, 2]),
    ('s.v["c"]', [3, 1, 4, 2]),
    ('s.v[["a", "c"]].sum(dim=-1)', [4, 0, 4, 4]),
    ('s.m["two"][:, 1]', [4, 10, 16, 22]),
    ("s.m[:, 1, -1]", [5, 11, 17, 23]),
    ("s.m[..., 0].sum(-1)", [3, 15, 27, 39]),
    ("s.v[:, ::2].sum(dim=1)", [4, 0, 4, 4]),
    ("s.v[:, 1:].norm(dim=-1)", [math.sqrt(13), 1, 5, math.sqrt(8)]),
    ("s.m.sum(dim=(1, 2))", [15, 51, 87, 123]),
    ("s.m.flatten(start_dim=1).mean(dim=1)", [2.5, 8.5, 14.5, 20.5]),
    ("s.m.transpose(1, 2)[:, 2, 0]", [2, 8, 14, 20]),
    ("s.m.reshape(s.m.shape[0], -1)[:, 4]", [4, 10, 16, 22]),
    ("s.v.max(dim=1).values", [3, 1, 4, 2]),
    ("torch.max(s.v, dim=-1)[0] - s.v.min(dim=-1).values", [2, 2, 4, 0]),
    ("s.v.argmax(dim=1)", [2, 2, 2, 0]),
    ("np.max(s.v, axis=1)", [3, 1, 4, 2]),
    ("s.v.std(dim=1)", [1, 1, math.sqrt(13 / 3), 0]),
    ("np.std(s.v, axis=1) ** 2 * 3", [2, 2, 26 / 3, 0]),
    ("s.v.std(axis=1) ** 2 * 3", [2, 2, 26 / 3, 0]),
    ("s.v.median(dim=1).values", [2, 0, 3, 2]),
    ("np.median(s.m[:, 0], axis=1)", [1, 7, 13, 19]),
    ("torch.clamp(s.x, 0, 1)", [0, 0.5, 1, 1]),
    ("s.x.clip(max=1.0)", [-1, 0.5, 1, 1]),
    ("torch.where(s.x > 1, s.x, 0.0)", [0, 0, 2, 4]),
    ("s.x if s.x > 1 else 0", [0, 0, 2, 4]),
    ("(s.x > 0) & (s.x < 3)", [0, 1, 1, 0]),
    ("0 < s.x < 3", [0, 1, 1, 0]),
    ("s.x > 0 and s.x < 3", [0, 1, 1, 0]),
    ("not s.x > 1", [1, 1, 0, 0]),
    ("1 - (s.x > 1)", [1, 1, 0, 0]),
    ("max(s.x, 1)", [1, 1, 2, 4]),
    ("min(s.x, s.v[:, 0], 1.0)", [-1, -1, 0, 1]),
    ("sum([s.x, s.x, 1])", [-1, 2, 5, 9]),
    ("torch.stack([s.x, s.v[:, 0]], dim=-1).sum(-1)", [0, -0.5, 2, 6]),
    ("torch.cat([s.v, s.on], dim=1)[:, 4]", [1, 1, 0, 0]),
    ("(s.v * torch.tensor([1.0, 0.0, 2.0])).sum(1)", [7, 1, 8, 6]),
    ("(s.v @ torch.tensor([1.0, 0.0, 2.0]))", [7, 1, 8, 6]),
    ("torch.linalg.cross(s.v, torch.tensor([[0.0, 0.0, 1.0]]))[:, 0]", [2, 0, 3, 2]),
    ("(s.v * s.x[:, None]).sum(1)", [-6, 0, 14, 24]),
    ("s.x.unsqueeze(dim=-1).squeeze(-1)", [-1, 0.5, 2, 4]),
    ("torch.zeros(s.x.shape[0]) + torch.ones_like(s.x)", [1, 1, 1, 1]),
    ("torch.atan2(s.x, 1.0)", [math.atan2(x, 1) for x in (-1, 0.5, 2, 4)]),
    ("math.pi", [math.pi] * 4),
    ("3", [3] * 4),
    ("0.5 * len(s.on.names)", [1] * 4),
    ("s.on['left'].long() * 2", [2, 2, 0, 0]),
    ("s.x.to(torch.float32).detach().clone()", [-1, 0.5, 2, 4]),
    ("kernel(s.x, 2.0)", [math.exp(-((x / 2) ** 2)) for x in (-1, 0.5, 2, 4)]),
    ("long_tail(s.x, 2.0)", [1 / (1 + (x / 2) ** 2) for x in (-1, 0.5, 2, 4)]),
    ("tolerance(s.x, 0.0, 1.0, 2.0)", [math.exp(-0.25), 1, math.exp(-0.25), math.exp(-2.25)]),
    ("bump(s.x, 0.0, 0.5)", [1, math.exp(-1), 1, 1]),
])  # fmt: skip
def test_an_expression_means_what_it_means_in_torch(expression, expected):
    assert value(expression) == expected


@pytest.mark.parametrize("op", ["+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!="])
def test_a_negative_number_on_the_left_keeps_its_sign(op):
    """The compiled graph is run as Python that torch.fx writes; its precedence must not matter."""
    expected = [float(eval(f"(-3) {op} x")) for x in (-1.0, 0.5, 2.0, 4.0)]
    assert value(f"(-3) {op} s.x") == expected


def test_every_operation_of_the_table_runs():
    """Each is called as the table says, on a matrix an environment."""
    fill = {"k_p": "2", "k_q": "0.5", "k_n": "1", "k_i": "0", "k_axis": "1", "k_start": "0",
            "k_length": "1", "k_correction": "1", "k_nan": "0.0"}  # fmt: skip
    state = {f.name: torch.rand(4, *f.shape) + 0.1 for f in X}
    for spelling in sorted(
        set(SPELLINGS) - set(SPECIAL) - {"matmul", "bmm", "mm", "mv", "not", "and", "or"}
    ):
        op = OPS[SPELLINGS[spelling]]
        args = [
            fill.get(p, "1" if p == "dim" else "False" if p[0] == "f" else "s.v") for p in op.params
        ]
        if op.name == "where":
            args[0] = "s.v > 0.5"
        call = f"torch.{spelling}({', '.join(args)})"
        text = (
            f"def reward(s):\n    x = {call}\n    x = x[:, None] if x.ndim == 1 else x\n"
            "    return {'a': x.sum(-1) if x.ndim == 2 else x.sum((1, 2))}"
        )
        out = compile_reward(text, X)(state)["a"]
        assert out.shape == (4,) and out.isfinite().all() or op.name in ("asin", "acos"), spelling


@pytest.mark.parametrize(("before", "inside", "expression", "expected"), [
    ("W = {'a': (1, 2), 'b': {'c': 3}}", "", "s.x * W['b']['c'] + W['a'][1]", [-1, 3.5, 8, 14]),
    ("def f(x, k=2):\n    return k * x", "", "f(s.x) + f(x=s.x, k=1)", [-3, 1.5, 6, 12]),
    ("g = lambda x: x + 1", "", "g(g(s.x))", [1, 2.5, 4, 6]),
    ("", "t = 0.0\nfor i in range(3):\n    if i == 1:\n        continue\n    t += s.v[:, i]", "t",
     [4, 0, 4, 4]),
    ("", "t = []\nfor name in s.v.names:\n    t.append(s.v[name])", "sum(t)", [6, 0, 7, 6]),
    ("", "a, (b, c) = s.x, (1, 2)\na *= c", "a + b", [-1, 2, 5, 9]),
    ("", "if s.x > 1:\n    y = s.x\nelif s.x > 0:\n    y = 1\nelse:\n    y = 0", "y", [0, 1, 2, 4]),
    ("def f(x):\n    if x > 1:\n        return x\n    return -x", "", "f(s.x)", [1, -0.5, 2, 4]),
    ("", "d = {'k': s.x}\nif s.x > 1:\n    d['k'] = 7.0", "d['k']", [-1, 0.5, 7, 7]),
    ("def put(d, x):\n    if x > 1:\n        d['k'] = 7.0\n    else:\n        d['k'] += x",
     "d = {'k': s.x}\nput(d, s.x)", "d['k']", [-2, 1, 7, 7]),
    ("def put(d, x):\n    if x > 1:\n        d.append(1.0)\n        return x\n    d.append(x)\n    return 0.0",
     "d = []\nr = put(d, s.x)", "sum(d) + r", [-1, 0.5, 3, 5]),
    ("", "d = {'k': 0.0}\ndef put(v):\n    d['k'] = v\nif s.x > 1:\n    put(s.x)\nelse:\n    put(1.0)\nput(d['k'] + 1)",
     "d['k']", [2, 2, 3, 5]),
    ("", "d = {'k': s.x}\ne = d\nif s.x > 1:\n    y = 1.0\nelse:\n    y = 2.0\ne['k'] = 3.0", "d['k'] + y",
     [5, 5, 4, 4]),
    ("", "y = [1.0]\nif s.x > 1:\n    f = lambda v: v\n    def g(v):\n        return v\nelse:\n    f = None\ny[0] += 1",
     "y[0] * s.x", [-2, 1, 4, 8]),
    ("LATE = False\ndef f(x):\n    y = x\n    if x > 1:\n        if LATE:\n            return x\n    y = y + 1\n    return y",
     "", "f(s.x)", [0, 1.5, 3, 5]),
    ("", "d = {f'{n}_1': 2.0 for n in ('a', 'b') if n != 'a'}", "d['b_1'] * s.x", [-2, 1, 4, 8]),
    ("from math import exp\nfrom torch import where as pick", "", "pick(s.x > 0, exp(0.0), 0.0)",
     [0, 1, 1, 1]),
    ("", "y = s.x\ny += 1", "s.x * 1.0", [-1, 0.5, 2, 4]),
    ("FLAG = False", "if FLAG:\n    y = s.nothing\nelse:\n    y = s.x", "y", [-1, 0.5, 2, 4]),
])  # fmt: skip
def test_statements(before, inside, expression, expected):
    assert value(expression, before, inside) == expected


def test_a_reward_says_what_it_is():
    reward = compile_reward(
        'PERIOD = 1\nW = [1, {"a": 2}]\ndef reward(s):\n    return {"a": s.x,\n            "b": 1.0}',
        X,
    )
    assert reward.terms == ("a", "b") and reward.lines == {"a": 4, "b": 5}
    assert reward.period == 1.0 and reward.constants == {"PERIOD": 1.0, "W": (1, {"a": 2})}
    assert reward.inputs == {"x"}
    again = compile_reward(reward.source, X)
    assert again.digest == reward.digest
    assert compile_reward(reward.source.replace("1.0", "1.5"), X).digest != reward.digest


def test_common_parts_are_computed_once():
    doubling = "\n".join(f"    x = x * x + {i}.5" for i in range(6))
    text = f'def f(s):\n    x = s.x\n{doubling}\n    return x\ndef reward(s):\n    return {{"a": f(s) + f(s)}}'
    assert len(compile_reward(text, X).nodes) == 1 + 12 + 1


def test_the_result_is_new_memory():
    reward = compile_reward('def reward(s):\n    return {"a": s.x, "b": s.v[:, 1]}', X)
    out = reward(STATE)
    out["a"][:] = 9
    out["b"][:] = 9
    assert STATE["x"].tolist() == [-1, 0.5, 2, 4] and STATE["v"][0, 1] == 2


def test_every_mistake_of_a_pass_is_reported_with_its_place():
    source = """import os
W = 1
def reward(s):
    y = s.velocity
    z = torch.fooo(s.x) + s.v["d"]
    return {
        "a": y + s.x.mean(),
        "b": s.x * s.v[:, :1],
        "c": s.v,
        "d": undefined,
        "e": 1.0,
    }
"""
    with pytest.raises(RewardError) as caught:
        compile_reward(source, X)
    errors = [(e.code, e.line, e.col) for e in caught.value.errors]
    assert errors == [
        ("E_IMPORT", 1, 1),
        ("E_FIELD", 4, 9),
        ("E_OP", 5, 9),
        ("E_FIELD", 5, 27),
        ("E_BATCH", 7, 18),
        ("E_BATCH", 8, 14),
        ("E_REWARD", 9, 0),
        ("E_NAME", 10, 14),
    ]
    assert {e.code for e in caught.value.errors} <= CODES.keys()


def test_hints_name_what_is_near():
    with pytest.raises(RewardError, match="root_vel"):
        compile_reward('def reward(s):\n    return {"a": s.root_velocity[:, 0]}', FIELDS)
    with pytest.raises(RewardError, match="left_knee or right_knee"):
        compile_reward('def reward(s):\n    return {"a": s.joint_pos["knee"]}', FIELDS)
    with pytest.raises(RewardError, match=r"speed\(s, target, width\)"):
        compile_reward('def reward(s):\n    return {"a": speed(s)}', FIELDS)
    hopper = load_robot("hopper").fields
    with pytest.raises(RewardError, match=r"line 2, col 18: step\(\): .*'left_ankle'"):
        compile_reward('def reward(s):\n    return {"a": step(s, 0.8, 0.2)}', hopper)


@pytest.mark.parametrize(("source", "code"), [
    ("", "E_REWARD"), ("def reward():\n    return {}", "E_REWARD"),
    ("def reward(s):\n    return {}", "E_REWARD"), ("def reward(s):\n    return s.x", "E_REWARD"),
    ("def reward(s):\n    pass", "E_REWARD"), ('def reward(s):\n    return {"a b": 1}', "E_REWARD"),
    ('PERIOD = 0\ndef reward(s):\n    return {"a": 1}', "E_REWARD"),
    ('PERIOD = "1"\ndef reward(s):\n    return {"a": 1}', "E_REWARD"),
    ("def reward(s):\n    return {f't{i}': s.x for i in range(33)}", "E_REWARD"),
    ("def reward(s):\n    if s.x > 0:\n        y = 1\n    return {'a': y}", "E_NAME"),
    ("def reward(s):\n    d = {'a': s.x}\n    if s.x > 0:\n        d['b'] = 1\n    return d", "E_STATIC"),
    ("def reward(s):\n    for v in s.v:\n        pass\n    return {'a': 1}", "E_BATCH"),
    ("def reward(s):\n    s.v[:, 0] = 1\n    return {'a': 1}", "E_STATE"),
    ("C = [1]\ndef reward(s):\n    C[0] = 2\n    return {'a': 1}", "E_STATE"),
    ("def reward(s):\n    return {'a': s.x[s.x > 0]}", "E_BATCH"),
    ("def reward(s):\n    return {'a': s.x + [1, 2]}", "E_SHAPE"),
    ("def reward(s):\n    return {'a': s.x + 'b'}", "E_TYPE"),
    ("def reward(s):\n    return {'a': 1 / 0 + s.x}", "E_ARG"),
    ("def reward(s):\n    return {'a': s.x / s.x.shape[0]}", "E_TYPE"),
    ("def reward(s):\n    return {'a': torch.sum(s.v, dimension=1)}", "E_ARG"),
    ("def reward(s):\n    return {'a': s.v[:, 3]}", "E_ARG"),
    ("def reward(s):\n    return {'a': s.v[:, :2] + s.v}", "E_SHAPE"),
    ("def reward(s):\n    while True:\n        pass", "E_FORM"),
])  # fmt: skip
def test_what_is_refused(source, code):
    assert refusal(source)[0][0] == code


def test_whole_numbers_are_multiplied_as_floats_which_every_device_can():
    text = "def reward(s):\n    return {'a': torch.matmul((s.joint_pos > 0).long(), torch.tensor([1]*6))}"
    nodes = compile_reward(text, load_robot("biped").fields).nodes
    given = [nodes[arg.node] for arg in nodes[-1].args]
    assert nodes[-1].op == "matmul" and [n.args[-1] for n in given] == ["float32", "float32"]
