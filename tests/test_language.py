"""The reward language by numbers: what it means, what it refuses, what it promises."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from reelward.authors.reference import filled
from reelward.checking import (
    check,
    cli_check,
    cli_fields,
    recorded_states,
    robot_card,
)
from reelward.language import (
    Reward,
    RewardError,
    Watch,
    check_contract,
    compile_reward,
    dump,
    load,
    trial_states,
)
from reelward.language.contract import BOUND
from reelward.language.errors import CODES
from reelward.language.ops import OPS, SPELLINGS
from reelward.language.spellings import SPECIAL
from reelward.runtime import jail
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.field import Field
from reelward.sim.robot import load_robot

FIELDS = load_robot("biped").fields
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


@pytest.mark.parametrize(("expression", "expected"), [
    ("s.x", [-1, 0.5, 2, 4]),
    ('s["x"] + 1', [0, 1.5, 3, 5]),
    ("2 - s.x / 4", [2.25, 1.875, 1.5, 1]),
    ("s.x ** 2", [1, 0.25, 4, 16]),
    ("2 ** s.x", [0.5, math.sqrt(2), 4, 16]),
    ("s.x // 1 + s.x % 1", [-1, 0.5, 2, 4]),
    ("-s.x", [1, -0.5, -2, -4]),
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
    found = [(e.code, e.line, e.col) for e in caught.value.errors]
    assert found == [
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
    ("def reward(s):\n    while True:\n        pass", "E_FORM"),
])  # fmt: skip
def test_what_is_refused(source, code):
    assert refusal(source)[0][0] == code


def test_the_library_by_numbers():
    n = 3
    state = {f.name: torch.zeros(n, *f.shape) for f in FIELDS}
    state["phase"] = torch.tensor([0.31, 0.5, 0.0])
    state["root_vel"][:, 0] = torch.tensor([1.3, 1.8, 0.3])
    state["root_rpy"][:, 1] = torch.tensor([0.0, 0.25, 0.5])
    state["foot_contact"] = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    state["action"][:] = torch.tensor([0.0, 0.5, 1.0])[:, None]
    state["power"] = torch.tensor([0.0, 1000.0, 9000.0])
    state["foot_vel"][:, 0, 0] = torch.tensor([0.0, 1.0, 5.0])
    names = next(f.names for f in FIELDS if f.name == "keypoint_pos")
    k = state["keypoint_pos"]
    k[:, names.index("hip"), 2] = 0.9
    for side in ("right", "left"):  # thigh 0.3 rad forward, shank straight down
        k[:, names.index(f"{side}_hip"), 2] = 1.0
        k[:, names.index(f"{side}_knee")] = torch.tensor(
            [0.5 * math.sin(0.3), 0.0, 1 - 0.5 * math.cos(0.3)]
        )
        k[:, names.index(f"{side}_ankle")] = k[:, names.index(f"{side}_knee")] - torch.tensor(
            [0.0, 0.0, 0.5]
        )
    k[:, names.index("right_ankle"), 0] += 0.4
    reward = compile_reward(
        """def reward(s):
    return {"alive": alive(s), "speed": speed(s, 1.3, 0.5), "upright": upright(s),
            "clock": clock(s, 0.62), "smooth": smooth(s), "effort": effort(s), "energy": energy(s, 2000.0),
            "slip": slip(s), "thigh": thigh_angle(s, "left"), "bend": flexion(s, "left"),
            "step": step(s, 0.4, 0.25), "bob": bob(s, 0.9, 0.1, 0.05), "height": height(s, 0.0, 1.0),
            "hip": hip(s, 1.0, 0.1), "bent": knee(s, 0.0, 0.62, 0.2, stand=0.5),
            "leap": bob(s, 0.9, 0.1, 0.05, lowest=0.25, together=True)}
""", FIELDS)  # fmt: skip
    out = {k: v.tolist() for k, v in reward(state).items()}
    near = pytest.approx
    assert out["alive"] == [1, 1, 1] and out["height"] == [1, 1, 1]
    assert out["speed"] == near([1, 0.5, 0.2])
    assert out["upright"] == near([1, math.exp(-1), math.exp(-4)])
    assert out["smooth"] == out["effort"] == near([0, -0.25, -1])
    assert out["energy"] == near([0, -0.5, -1])
    assert out["slip"] == near([0, -0.25, 0])
    assert out["thigh"] == near([0.3] * 3, abs=1e-6) and out["bend"] == near([0.3] * 3, abs=1e-6)
    assert out["hip"] == near([0.5] * 3, rel=1e-5)
    right = abs(0.3 - math.atan(0.4 / 0.5))
    bent = [(math.exp(-(((right - 0.5) / 0.2) ** 2)) + math.exp(-1)) / 2] * 3
    assert out["bent"] == near(bent, rel=1e-4)
    # The hip is at 0.9 m, where a leap is between lowest (phase 0.25) and highest at phases 0.5 and 0.
    leap = 0.05 * math.cos(2 * math.pi * (0.31 - 0.25))
    assert out["leap"] == near([math.exp(-((leap / 0.05) ** 2)), 1, 1], abs=1e-5)
    wave = [math.cos(2 * math.pi * (p - 0.03)) for p in (0.31, 0.5, 0.0)]
    assert out["step"] == near([math.exp(-(((0.4 - 0.4 * w) / 0.25) ** 2)) for w in wave], rel=1e-4)

    def stands(phase):
        edge = math.cos(2 * math.pi * (phase - 0.31)) - math.cos(math.pi * 0.62)
        return 1 / (1 + math.exp(-8 * edge))

    def obeys(phase, contact):
        return stands(phase) * contact + (1 - stands(phase)) * (1 - contact)

    expected = [
        (obeys(p, r) + obeys(p - 0.5, left)) / 2
        for p, (r, left) in zip((0.31, 0.5, 0.0), ((1, 0), (1, 1), (0, 1)), strict=True)
    ]
    assert out["clock"] == near(expected, abs=1e-5)
    assert expected[0] > 0.99  # mid-stance of the right foot, the left one swings


@pytest.mark.parametrize(
    ("robot", "side", "knee", "hip"),
    [("biped", "left", "left_knee", "left_hip"), ("hopper", "right", "knee", "hip")],
)
def test_knee_and_thigh_angles_are_those_of_the_simulated_joints(robot, side, knee, hip):
    robot = load_robot(robot)
    env = Env(robot, CpuPhysics(robot, 8), seed=0)
    reward = compile_reward(
        f'def reward(s):\n    return {{"knee": flexion(s, "{side}"), "thigh": thigh_angle(s, "{side}")}}',
        robot.fields,
    )
    motors = len(env.fields["action"][0])
    for i in range(6):
        env.step(torch.full((8, motors), 0.4 * (-1) ** i))
        out, joints = reward(env.fields), env.fields["joint_pos"]
        names = next(f.names for f in robot.fields if f.name == "joint_pos")
        bend, swing = joints[:, names.index(knee)].abs(), joints[:, names.index(hip)]
        torch.testing.assert_close(out["knee"], bend, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            out["thigh"], swing - env.fields["root_rpy"][:, 1], atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("robot", ["biped", "walker2d", "hopper", "half_cheetah"])
def test_library_terms_stay_in_their_range_on_every_robot(robot):
    fields = load_robot(robot).fields
    text = """def reward(s):
    return {"r1": speed(s, 1.0, 0.5), "r2": upright(s), "r3": clock(s, 0.6), "r4": height(s, 1.0, 0.2),
            "r5": knee(s, 1.0, 0.6, 0.3), "r6": clearance(s, 0.1, 0.1), "r7": airtime(s, 0.4, 0.2),
            "r8": straight(s), "r9": heading(s), "c1": smooth(s), "c2": energy(s), "c3": effort(s),
            "c4": slip(s)}"""
    reward = compile_reward(text, fields)
    assert check_contract(reward, fields) == []
    for state in trial_states(fields).values():
        for name, x in reward(state).items():
            low, high = (0, 1) if name[0] == "r" else (-1, 0)
            assert low <= x.min() and x.max() <= high, name


@pytest.mark.parametrize(("term", "says"), [
    ("torch.log(s.root_pos[:, 2])", "not finite"), ("1 / s.foot_force[:, 0]", "not finite"),
    ("1e6 * s.power", "reaches"),
])  # fmt: skip
def test_the_contract_finds_what_types_cannot(term, says):
    reward = compile_reward(
        f'def reward(s):\n    return {{"a": alive(s),\n            "b": {term}}}', FIELDS
    )
    faults = check_contract(reward, FIELDS)
    assert any(says in f.message for f in faults)
    assert all(f.code == "E_CONTRACT" and f.line == 3 and "'b'" in f.message for f in faults)


def test_the_contract_tries_native_terms_and_recorded_states():
    text = 'def reward(s):\n    return {"a": 0.5 * style(s)}'
    good = {"style": lambda state: state["x"] * 2}
    reward = compile_reward(text, X, native=good)
    assert reward(STATE)["a"].tolist() == [-1, 0.5, 2, 4] and reward.inputs == {f.name for f in X}
    assert check_contract(reward, X, states=[STATE]) == []
    mixing = compile_reward(text, X, native={"style": lambda state: state["x"] - state["x"].mean()})
    assert "environments" in check_contract(mixing, X)[0].message
    memory: list[float] = []

    def remembers(state):
        memory.append(1.0)
        return state["x"] + len(memory)

    assert any(
        "asked again" in f.message
        for f in check_contract(compile_reward(text, X, native={"style": remembers}), X)
    )
    wild = [STATE | {"x": torch.full((4,), 2 * BOUND)}]
    assert "recorded 0" in check_contract(reward, X, states=wild)[0].message
    assert refusal(text)[0][0] == "E_NAME"
    with pytest.raises(RewardError, match="float32"):
        compile_reward(text, X, native={"style": lambda state: state["v"]})(STATE)


def test_a_reward_that_fails_on_recorded_states_alone_is_refused_before_training():
    """A foot presses with hundreds of newtons; no made-up state does."""
    text = (
        'def reward(s):\n    return {"alive": 1.0,\n'
        '            "soft": torch.log(300.0 - s.foot_force.amax(dim=-1))}'
    )
    biped = load_robot("biped")
    reward = compile_reward(text, FIELDS)
    assert check_contract(reward, FIELDS) == []
    given = {"source": text, "fields": [asdict(f) for f in FIELDS], "native": {}}
    (error,) = check(given | {"states": recorded_states(biped)})["errors"]
    assert (error["code"], error["line"]) == ("E_CONTRACT", 3)
    assert "term 'soft' is not finite on recorded" in error["message"]
    assert recorded_states(biped) == recorded_states(biped)


def test_an_artefact_is_believed_only_when_its_source_compiles_to_it():
    reward = compile_reward('PERIOD = 2\ndef reward(s):\n    return {"a": torch.tanh(s.x) + 1}', X)
    text = dump(reward)
    loaded = load(text, X)
    assert isinstance(loaded, Reward) and loaded.digest == reward.digest
    assert loaded(STATE)["a"].tolist() == reward(STATE)["a"].tolist()
    parts = json.loads(text)
    nodes = parts["graph"]["nodes"]
    doctored = [
        parts | {"sha256": "0" * 64},
        parts | {"source": reward.source.replace("+ 1", "+ 2")},
        parts | {"extra": 1},
        parts | {"graph": parts["graph"] | {"period": 3.0}},
        parts | {"graph": parts["graph"] | {"nodes": [*nodes, ["exec", ["1"], 1]]}},
        parts | {"graph": parts["graph"] | {"nodes": [*nodes, ["abs", [{"ref": 99}], 1]]}},
        parts | {"graph": parts["graph"] | {"nodes": [*nodes, ["sum", [{"ref": 0}, 0, False], 1]]}},
        parts | {"graph": parts["graph"] | {"terms": {"a": 99}}},
    ]
    for wrong in doctored:
        with pytest.raises(RewardError) as caught:
            load(json.dumps(wrong), X)
        assert caught.value.errors[0].code == "E_FILE"
    for wrong_text in (
        "",
        "[" * 100_000,
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "1" * 5000,
        text + " " * (1 << 20),
    ):
        with pytest.raises(RewardError):
            load(wrong_text, X)


def test_compiled_equals_eager():
    reward = compile_reward(
        'def reward(s):\n    return {"a": kernel(s.v[:, 0] - s.x, 2.0), "b": s.m.norm(dim=-1).sum(-1)}',
        X,
    )
    fast = reward.compiled()
    for state in (STATE, {name: x[:3] for name, x in STATE.items()}):
        for name, x in reward(state).items():
            torch.testing.assert_close(fast(state)[name], x, rtol=1e-5, atol=1e-6)
    # Another reward of the same shapes is not taken for it, and a native term is called as it is.
    text = reward.source.replace("2.0", "0.5").replace("s.x", "style(s)")
    other = compile_reward(text, X, native={"style": lambda state: state["x"] + 1})
    torch.testing.assert_close(other.compiled()(STATE), other(STATE))


def test_the_watch_masks_counts_and_names():
    reward = compile_reward(
        'def reward(s):\n    return {"a": s.x,\n            "b": torch.log(s.x)}', X
    )
    watch = Watch(reward, limit=0.3)
    masked = watch.masked(reward(STATE))
    assert masked[0].tolist() == [-1, 0.5, 2, 4]
    assert masked[1].tolist() == pytest.approx([0, math.log(0.5), math.log(2), math.log(4)])
    watch.check()  # a quarter of b is allowed
    watch.check()
    watch.limit = 0.2
    watch.masked(reward(STATE))
    with pytest.raises(RewardError, match=r"line 3.*'b' is not finite in 25\.00%"):
        watch.check()


def test_check_and_fields_on_the_command_line(tmp_path: Path, capsys):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text('def reward(s):\n    return {"a": speed(s, 1.0, 0.5)}\n')
    bad.write_bytes(b'def reward(s):\n    return {"a": s.sped, "b": open("/etc/passwd")}  # \xff')
    assert cli_check(good, "biped", as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["terms"] == [{"name": "a", "shape": "[N]", "line": 2}] and answer["inputs"] == [
        "root_vel"
    ]
    assert "rlimits" in answer["jail"]
    assert cli_check(bad, "biped") == 1
    printed = capsys.readouterr().out
    assert f"{bad}:2:18: E_FIELD" in printed and "E_NAME" in printed
    assert cli_fields("hopper", as_json=True) == 0
    assert [f["name"] for f in json.loads(capsys.readouterr().out)] == [
        f.name for f in load_robot("hopper").fields
    ]
    assert "s.root_vel" in robot_card(FIELDS) and "right_knee" in robot_card(FIELDS)


def test_the_jail_holds():
    active = jail.layers()
    assert active["rlimits"] and active["privileges"]
    assert jail.jailed("json:dumps", [1, 2]) == "[1, 2]"
    with pytest.raises(jail.JailError, match="ZeroDivisionError|TypeError"):
        jail.jailed("math:sqrt", "x")
    with pytest.raises(jail.JailError, match="died of SIGSEGV"):
        jail.jailed("ctypes:string_at", 0)
    with pytest.raises(jail.JailError, match="no answer of at most"):
        jail.jailed("json:dumps", [0] * 600_000)
    with pytest.raises(jail.JailError, match="longer than"):
        jail.jailed("time:sleep", 30, timeout=0.3)
    with pytest.raises(jail.JailError, match="memory|MemoryError"):
        jail.jailed("builtins:bytearray", 10**10, memory=1 << 28)
    with pytest.raises(jail.JailError, match="no answer|File too large|PermissionError|signal|SIG"):
        jail.jailed("pathlib:Path.home", None)
    if active["landlock"]:
        with pytest.raises(jail.JailError, match="PermissionError"):
            jail.jailed("os:listdir", "/etc")
        assert isinstance(jail.jailed("os:listdir", "/etc", read=[Path("/etc")]), list)
    if active["seccomp"]:
        with pytest.raises(jail.JailError, match="PermissionError"):
            jail.jailed("socket:socket", 2)
        with pytest.raises(
            jail.JailError, match="PermissionError|BlockingIOError|Operation not permitted"
        ):
            jail.jailed("subprocess:check_output", ["true"])


@pytest.mark.skipif(not jail.layers()["seccomp"], reason="no seccomp here")
def test_the_jail_refuses_what_landlock_leaves(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.write_text("text")
    tried = jail.jailed("tests.jail_attacks:tried", str(precious), read=[tmp_path])
    assert len(tried) >= 5 and set(tried.values()) == {"EPERM"}, tried
    assert precious.read_text() == "text"


def test_the_page_is_generated_from_the_code():
    page = (Path(__file__).parents[1] / "docs" / "reward-language.md").read_text(encoding="utf-8")
    assert filled(page) == page, "run python -m reelward.authors.reference docs/reward-language.md"
    example = page.split("```python\n")[1].split("```")[0]
    reward = compile_reward(example, FIELDS)
    assert reward.period == 1.31 and check_contract(reward, FIELDS) == []


def test_whole_numbers_are_multiplied_as_floats_which_every_device_can():
    text = "def reward(s):\n    return {'a': torch.matmul((s.joint_pos > 0).long(), torch.tensor([1]*6))}"
    nodes = compile_reward(text, load_robot("biped").fields).nodes
    given = [nodes[arg["ref"]] for arg in nodes[-1].args]
    assert nodes[-1].op == "matmul" and [n.args[-1] for n in given] == ["float32", "float32"]
