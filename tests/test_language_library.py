"""The standard library by numbers, on made-up states and on simulated robots."""

from __future__ import annotations

import math

import pytest
import torch

from reelward.language.compiler import compile_reward
from reelward.language.contract import check_contract, trial_states
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.robot import load_robot

FIELDS = load_robot("biped").fields


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
        """PERIOD = 1.0
def reward(s):
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
    text = """PERIOD = 1.0
def reward(s):
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
