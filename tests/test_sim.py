"""The simulator against Gymnasium, and the fields against geometry and finite differences."""

import math

import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.robot import load_robot
from reelward.sim.spaces import Box, Vector

ACTUATORS = {
    "biped": 6, "walker2d": 6, "hopper": 3, "half_cheetah": 6, "ant": 8, "humanoid": 17,
}  # fmt: skip
ROBOTS = list(ACTUATORS)
GYMNASIUM = {
    "walker2d": "Walker2d-v5",
    "hopper": "Hopper-v5",
    "half_cheetah": "HalfCheetah-v5",
    "ant": "Ant-v5",
    "humanoid": "Humanoid-v5",
}


def make(name: str, n: int = 4, **options) -> Env:
    robot = load_robot(name)
    return Env(robot, CpuPhysics(robot, n), **{"seed": 0} | options)


def still(env: Env) -> torch.Tensor:
    """The action that is zero everywhere."""
    return torch.zeros(env.n, env.action_space.size)


@pytest.mark.parametrize("name", GYMNASIUM)
def test_steps_as_gymnasium_bit_for_bit(name):
    env = make(name)
    options = {} if name == "half_cheetah" else {"terminate_when_unhealthy": False}
    peers = [gymnasium.make(GYMNASIUM[name], **options).unwrapped for _ in range(env.n)]
    for i, peer in enumerate(peers):
        if name == "humanoid":  # our one change: Gymnasium's is the PGS solver
            peer.model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
        peer.reset(seed=i)
        env.physics.qpos[i] = torch.from_numpy(peer.data.qpos.copy())
        env.physics.qvel[i] = torch.from_numpy(peer.data.qvel.copy())
    env.physics.forward(torch.arange(env.n))
    rng = np.random.default_rng(0)
    scale = peer.action_space.high[0]  # ours are fractions of it
    for _ in range(150):
        actions = rng.uniform(-1, 1, (env.n, env.action_space.size)).astype(np.float32)
        env.step(torch.from_numpy(actions))
        for i, peer in enumerate(peers):
            peer.step(actions[i] * scale)
            assert np.array_equal(peer.data.qpos, env.physics.qpos[i].numpy())
            assert np.array_equal(peer.data.qvel, env.physics.qvel[i].numpy())


def test_termination_is_gymnasiums():
    env, peer = make("walker2d", 1), gymnasium.make("Walker2d-v5").unwrapped
    peer.reset(seed=3)
    env.physics.qpos[0] = torch.from_numpy(peer.data.qpos.copy())
    env.physics.qvel[0] = torch.from_numpy(peer.data.qvel.copy())
    env.physics.forward(torch.arange(1))
    for _ in range(500):
        *_, fell, _, _ = peer.step(np.full(6, -1.0))
        terminated, truncated = env.step(torch.full((1, 6), -1.0))
        assert bool(terminated) == fell and not truncated
        if fell:
            return
    raise AssertionError("expected a fall under full torque")


@pytest.mark.parametrize("name", ROBOTS)
def test_every_field_has_its_declared_shape(name):
    env = make(name)
    env.step(still(env))
    for field in env.robot.fields:
        value = env.fields[field.name]
        assert value.shape == (env.n, *field.shape), field.name
        assert value.dtype == torch.float32 and value.isfinite().all(), field.name
        assert not field.names or len(field.names) == field.shape[0]


@pytest.mark.parametrize("name", ROBOTS)
def test_spaces_are_the_sizes_of_observations_and_actions(name):
    env = make(name)
    assert env.observe().shape == (env.n, env.observation_space.size)
    assert env.action_space == Box(ACTUATORS[name])
    assert env.fields["action"].shape == (env.n, ACTUATORS[name])


def test_a_symmetric_observation_has_half_the_clock():
    env = make("biped", period=1.3, symmetric=True)
    # By hand: 8 coordinates (all but x), 9 velocities, one cosine and one sine.
    assert env.observation_space == Vector(19) and env.observe().shape == (4, 19)


def test_fields_describe_the_state_after_the_step():
    env = make("biped")
    for _ in range(3):
        env.step(0.1 * (1 + still(env)))
    names = list(env.robot.joints)
    q = env.physics.qpos
    hip = env.fields["keypoint_pos"][:, list(env.robot.keypoints).index("right_hip")]
    # By hand: the hip is 0.2 m below the torso's origin along the torso's axis.
    torch.testing.assert_close(hip[:, 0], (q[:, 0] - 0.2 * torch.sin(q[:, 2])).float())
    torch.testing.assert_close(hip[:, 2], (q[:, 1] - 0.2 * torch.cos(q[:, 2])).float())
    torch.testing.assert_close(env.fields["root_rpy"][:, 1], q[:, 2].float())
    torch.testing.assert_close(
        env.fields["joint_pos"][:, names.index("left_knee")], q[:, 7].float()
    )


@pytest.mark.parametrize("name", ROBOTS)
def test_velocities_are_the_derivatives_of_positions(name):
    env = make(name)
    for _ in range(20):
        env.step(0.5 * (1 + still(env)))
    places = {k: env.fields[f"{k}_pos"].double() for k in ("root", "body", "keypoint")}
    speeds = {k: env.fields[f"{k}_vel"].double() for k in places}
    h = 1e-4
    for q, v in zip(env.physics.qpos.numpy(), env.physics.qvel.numpy(), strict=True):
        mujoco.mj_integratePos(env.robot.mj_model, q, v, h)
    env.physics.forward(torch.arange(env.n))
    env.fields.forget()
    for k, before in places.items():
        moved = (env.fields[f"{k}_pos"].double() - before) / h
        torch.testing.assert_close(moved, speeds[k], atol=0.02, rtol=0.01)


@pytest.mark.parametrize("name", ["ant", "humanoid"])
def test_a_free_root_moves_and_turns_in_the_world_frame(name):
    # Lying on its left side: its own z axis is the world's -y, so turning about it is -y in the world.
    env = make(name)
    env.physics.qpos[:, 3:7] = torch.tensor([0.5**0.5, 0.5**0.5, 0, 0], dtype=torch.float64)
    env.physics.qvel[:] = 0
    env.physics.qvel[:, 1] = 2.0
    env.physics.qvel[:, 5] = 3.0
    env.physics.forward(torch.arange(env.n))
    env.fields.forget()
    want = torch.tensor([[0, 2.0, 0], [0, -3.0, 0], [0, -1.0, 0], [math.pi / 2, 0, 0]])
    for field, value in zip(("root_vel", "root_angvel", "up", "root_rpy"), want, strict=True):
        torch.testing.assert_close(
            env.fields[field], value.expand(env.n, 3), atol=1e-5, rtol=0, msg=field
        )


def test_start_states_of_a_free_root_are_noisy_and_upright_in_norm():
    env = make("ant", 256)
    quaternion = env.physics.qpos[:, 3:7]
    torch.testing.assert_close(quaternion.norm(dim=1), torch.ones(256, dtype=torch.float64))
    assert 0.02 < quaternion[:, 1].std() < 0.1  # uniform within 0.1: 0.058


def test_the_ant_stands_on_its_feet():
    env = make("ant", 2)
    env.physics.qpos[:, 3:7] = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    for _ in range(80):
        env.step(still(env))
    # Three legs carry it; a fourth may hang in the air, and then bears nothing.
    contact, force = env.fields["foot_contact"], env.fields["foot_force"]
    assert (contact.sum(1) >= 3).all() and torch.equal(contact > 0, force > 0)
    weight = 9.81 * float(env.robot.mj_model.body_mass.sum())
    torch.testing.assert_close(force.sum(1), torch.full((2,), weight), rtol=0.3, atol=0)


@pytest.mark.parametrize("name", ["walker2d", "ant", "humanoid"])
def test_the_fast_robots_differ_in_the_integrator_alone(name):
    slow, fast = load_robot(name), load_robot(f"{name}_fast")
    same = fast.model_copy(update={"name": name, "folder": slow.folder, "integrator": None})
    assert fast.integrator == "implicitfast" and same == slow


def test_start_states_stand_on_one_foot_with_the_clock_to_match():
    env = make("biped", 64, period=1.3)
    height = env.fields["foot_height"]
    torch.testing.assert_close(height.min(1).values, torch.full((64,), 0.002), atol=1e-5, rtol=0)
    right_is_lower = height[:, 0] < height[:, 1]
    assert torch.equal(right_is_lower, env.clock.phase == 0.25)
    assert set(env.clock.phase.tolist()) == {0.25, 0.75}


def test_contact_air_time_and_force_agree_when_standing():
    env = make("biped", 2, period=1.0)
    env.physics.qpos[:] = torch.from_numpy(env.robot.mj_model.qpos0)
    env.physics.qpos[:, 1] -= 0.0395  # by hand: its soles hang 4 cm above the floor
    env.physics.qvel[:] = 0
    env.physics.forward(torch.arange(2))
    env.fields.forget()
    for _ in range(3):
        env.step(still(env))
    assert env.fields["foot_contact"].eq(1).all()
    torch.testing.assert_close(env.fields["contact_time"], torch.full((2, 2), 0.06))
    assert env.fields["air_time"].eq(0).all()
    weight = 9.81 * env.robot.mj_model.body_mass.sum()
    total = env.fields["foot_force"].sum(1)
    assert (total > 0.5 * weight).all() and (total < 2 * weight).all()


def test_gait_clock_turns_once_a_period():
    env = make("biped", 1, period=0.5)
    start = env.clock.phase.clone()
    for _ in range(25):  # 25 x 0.02 s
        env.step(still(env))
    torch.testing.assert_close(
        (env.clock.phase - start + 0.5) % 1, torch.tensor([0.5]), atol=1e-5, rtol=0
    )


def test_symmetric_policy_sees_the_mirror_image():
    env = make("biped", 2, period=1.3, symmetric=True)
    q, v = env.physics.qpos, env.physics.qvel
    q[0] = torch.tensor([0, 1.2, 0.1, 0.3, -0.4, 0.05, -0.2, -0.6, 0.1])
    q[1] = q[0][[0, 1, 2, 6, 7, 8, 3, 4, 5]]
    v[0] = torch.arange(9.0) / 10
    v[1] = v[0][[0, 1, 2, 6, 7, 8, 3, 4, 5]]
    env.physics.forward(torch.arange(2))
    env.clock.phase = torch.tensor([0.2, 0.7])
    seen = env.observe()
    torch.testing.assert_close(seen[0], seen[1], atol=1e-6, rtol=0)
    action = torch.linspace(-0.5, 0.5, 6).repeat(2, 1)
    for _ in range(3):
        env.observe()
        env.step(action)
    torch.testing.assert_close(q[0], q[1][[0, 1, 2, 6, 7, 8, 3, 4, 5]], atol=1e-9, rtol=0)
    torch.testing.assert_close(env.tensors.action[0], env.tensors.action[1][[3, 4, 5, 0, 1, 2]])


def random_actions(env: Env, steps: int, seed: int = 1) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(steps, env.n, env.action_space.size, generator=rng) * 2 - 1


def test_a_symmetric_environment_need_not_be_observed():
    """It mirrors actions by the clock, whether or not anybody has observed since it last turned."""
    options = {"period": 0.3, "symmetric": True}
    seen, blind = make("biped", 8, **options), make("biped", 8, **options)
    halves = set()
    for action in random_actions(seen, 60):
        seen.observe()
        halves |= set(seen.clock.second_half.flatten().tolist())
        ended = [env.step(action)[0] for env in (seen, blind)]
        assert torch.equal(*ended)
        assert torch.equal(seen.physics.qpos, blind.physics.qpos)
        seen.reset(ended[0])
        blind.reset(ended[1])
    assert halves == {True, False}


def test_shares_do_what_they_would_do_alone():
    """Also where another number of episodes ends in each."""
    options = {"symmetric": True, "staggered": True}
    both = make("biped", 12, seed=[3, 5], period=[1.3, None], **options)
    alone = [make("biped", 6, seed=s, period=p, **options) for s, p in ((3, 1.3), (5, None))]
    unequal = 0
    for action in random_actions(both, 150):
        terminated, truncated = both.step(action)
        ended = terminated | truncated
        both.reset(ended)
        for env, rows in zip(alone, both.shares, strict=True):
            env.step(action[rows])
            env.reset(ended[rows])
            assert torch.equal(env.observe(), both.observe()[rows])
        unequal += ended[:6].sum() != ended[6:].sum()
    assert unequal > 10
    for i, env in enumerate(alone):
        one, other = env.state_dict(), both.state_dict(i)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_rows_of_several_shares_are_all_of_them():
    ended = torch.tensor([True, False, False, False])
    assert make("biped", 4).rows(ended).tolist() == [0]
    assert make("biped", 4, seed=[0, 1]).rows(ended).tolist() == [0, 1, 2, 3]


def test_a_restored_environment_goes_on_identically():
    env, other = make("biped", 8, period=1.3), make("biped", 8, period=1.3)
    rng = torch.Generator().manual_seed(1)

    def run(e, actions):
        trace = []
        for a in actions:
            terminated, truncated = e.step(a)
            e.reset(terminated | truncated)
            trace.append(torch.cat((e.observe(), e.fields["air_time"]), 1))
        return torch.stack(trace)

    run(env, torch.rand(60, 8, 6, generator=rng) * 2 - 1)
    other.load_state_dict(env.state_dict())
    actions = torch.rand(120, 8, 6, generator=rng) * 2 - 1
    assert torch.equal(run(env, actions), run(other, actions))


def test_a_diverged_simulation_is_flagged_and_ended():
    env = make("biped", 3)
    env.physics.qvel[1] = 1e12
    terminated, truncated = env.step(still(env))
    assert env.physics.diverged.tolist() == [False, True, False]
    assert terminated.tolist() == [False, True, False] and not truncated.any()


def test_a_time_limit_is_not_a_fall():
    env = make("half_cheetah", 2)
    env.age[:] = torch.tensor([env.limit - 1, 5])
    terminated, truncated = env.step(still(env))
    assert not terminated.any() and truncated.tolist() == [True, False]


def test_froude_number_of_a_walk_is_sane():
    # 1.365 m/s on a leg of 1.01 m is the speed of the demo's walker: Froude 0.434.
    robot = load_robot("biped")
    assert math.isclose(1.365 / math.sqrt(9.81 * robot.leg_length_m), 0.434, abs_tol=0.001)
