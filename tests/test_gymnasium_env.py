"""Robots that are environments of Gymnasium: against Gymnasium itself, and resumed."""

import warnings
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
import yaml
from gymnasium.envs.classic_control import CartPoleEnv
from trainings import ARGS, trained

from reelward.checking import checked, recorded_states
from reelward.policy import Policy
from reelward.sim.environment import make_env
from reelward.sim.gymnasium_env import GymnasiumEnv
from reelward.sim.gymnasium_robot import GymnasiumRobot
from reelward.sim.robot import load_mjcf, load_robot
from reelward.sim.schema import RobotError
from reelward.sim.spaces import Box, Discrete, Picture, Vector

CAR = {
    "gymnasium": "MountainCarContinuous-v0", "dt": 0.04, "episode_s": 40.0,
    "fields": {"state": {"obs": [0, 2], "unit": "1", "meaning": "position and velocity",
                         "names": ["position", "velocity"]}},
}  # fmt: skip
PENDULUM = {
    "gymnasium": "Pendulum-v1", "dt": 0.05, "episode_s": 10.0,
    "fields": {"speed": {"obs": 2, "unit": "rad/s", "meaning": "of the pole"}},
}  # fmt: skip


def own(folder: Path, data: dict[str, object], **changes: object) -> GymnasiumRobot:
    """The robot of a YAML of its own."""
    (folder / "mine").mkdir()
    (folder / "mine/robot.yaml").write_text(yaml.safe_dump(data | changes))
    robot = load_robot("mine", folder)
    assert isinstance(robot, GymnasiumRobot)
    return robot


def random_actions(env: GymnasiumEnv, steps: int) -> torch.Tensor:
    rng, space = torch.Generator().manual_seed(1), env.action_space
    if isinstance(space, Discrete):
        return torch.randint(space.n, (steps, env.n), generator=rng)
    return 2.4 * torch.rand(steps, env.n, space.size, generator=rng) - 1.2


def peers(env: GymnasiumEnv, **options) -> list[gymnasium.Env]:
    """Gymnasium's own environments, started from the same seeds."""
    made = [gymnasium.make(env.robot.gymnasium, **options) for _ in range(env.n)]
    for peer, seed in zip(made, env.state_dict()["seeds"].tolist(), strict=True):
        peer.reset(seed=seed)
    return made


def test_cartpole_steps_as_gymnasiums():
    env = GymnasiumEnv(load_robot("cartpole"), 4, seed=0)
    assert (env.observation_space, env.action_space) == (Vector(4), Discrete(2))
    mine, ends = peers(env), 0
    for action in random_actions(env, 60):
        terminated, truncated = env.step(action)
        seen = env.observe()
        for i, peer in enumerate(mine):
            obs, reward, fell, late, _ = peer.step(int(action[i]))
            assert np.array_equal(seen[i].numpy(), obs)
            assert float(env.fields["task_reward"][i]) == reward
            assert float(env.fields["pole_angle"][i]) == obs[2]
            assert (bool(terminated[i]), bool(truncated[i])) == (fell, late)
        ended = terminated | truncated
        env.reset(ended)
        seeds = env.state_dict()["seeds"].tolist()
        for i in ended.nonzero().flatten().tolist():
            mine[i].reset(seed=seeds[i])
            ends += 1
    assert ends > 4


def test_an_episode_is_cut_off_where_gymnasium_does_it():
    """CartPole-v1 has a limit of 500 steps: 10 s."""
    env = GymnasiumEnv(load_robot("cartpole"), 1, seed=0)
    for step in range(1, 501):
        angle, speed = env.fields["pole_angle"], env.fields["pole_vel"]
        terminated, truncated = env.step((angle + 0.5 * speed > 0).long())
        assert not terminated.any() and bool(truncated) == (step == 500)
    torch.testing.assert_close(env.fields["time"], torch.tensor([10.0]))


def test_a_box_is_scaled_to_the_bounds(tmp_path):
    env = GymnasiumEnv(own(tmp_path, PENDULUM), 3, seed=0)  # its torque is within 2 N m
    assert env.action_space == Box(1) and env.observation_space == Vector(3)
    mine = peers(env)
    for action in random_actions(env, 50):
        env.step(action)
        for i, peer in enumerate(mine):
            obs, reward, *_ = peer.step(2 * action[i].clamp(-1, 1).numpy())
            assert np.array_equal(env.observe()[i].numpy(), obs)
            assert float(env.fields["task_reward"][i]) == np.float32(reward)
        assert torch.equal(env.fields["action"], action.clamp(-1, 1))


def test_fields_are_columns_and_slices_of_the_observation(tmp_path):
    env = GymnasiumEnv(own(tmp_path, CAR), 2, seed=0)
    env.step(torch.ones(2, 1))
    (state,) = (f for f in env.robot.fields if f.name == "state")
    assert state.shape == (2,) and state.names == ("position", "velocity")
    assert torch.equal(env.fields["state"], env.observe())
    # By hand, from the documentation: v' = v + 0.0015 a - 0.0025 cos(3 x), x' = x + v'.
    (peer, _) = peers(env)
    x = peer.unwrapped.state[0]
    velocity = 0.0015 - 0.0025 * np.cos(3 * x)
    assert env.fields["state"][0].tolist() == pytest.approx([x + velocity, velocity], abs=1e-6)
    for f in env.robot.fields:
        assert env.fields[f.name].shape == (2, *f.shape)
        assert env.fields[f.name].dtype == torch.float32


def run(env: GymnasiumEnv, actions: torch.Tensor) -> torch.Tensor:
    rows = []
    for action in actions:
        terminated, truncated = env.step(action)
        env.reset(terminated | truncated)
        names = [f.name for f in env.robot.fields if f.dtype == "float32"]
        numbers = [env.fields[name].reshape(env.n, -1) for name in names]
        rows.append(torch.cat((env.observe(), *numbers), 1))
    return torch.stack(rows)


@pytest.mark.parametrize("data", [None, CAR], ids=["cartpole", "car"])
def test_a_restored_environment_goes_on_identically(tmp_path, data):
    robot = own(tmp_path, data, episode_s=2.0) if data else load_robot("cartpole")
    one, other = (GymnasiumEnv(robot, 4, seed=s, staggered=True) for s in (0, 1))
    actions = random_actions(one, 90)
    run(one, actions[:30])
    torch.save(one.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other.observe(), one.observe())
    assert torch.equal(run(one, actions[30:]), run(other, actions[30:]))


def test_shares_do_what_they_would_do_alone():
    robot = load_robot("cartpole")
    both = GymnasiumEnv(robot, 6, seed=[3, 5], staggered=True)
    alone = [GymnasiumEnv(robot, 3, seed=s, staggered=True) for s in (3, 5)]
    actions = random_actions(both, 100)
    rows = run(both, actions)
    for env, share in zip(alone, both.shares, strict=True):
        assert torch.equal(run(env, actions[:, share]), rows[:, share])
    assert both.rows(torch.tensor([True] + [False] * 5)).tolist() == list(range(6))
    assert alone[0].rows(torch.tensor([False, True, False])).tolist() == [1]


class BrokenCart(CartPoleEnv):
    """Its third step gives a number that is not finite."""

    def step(self, action):
        obs, *rest = super().step(action)
        self.count = getattr(self, "count", 0) + 1
        return (obs * np.nan if self.count == 3 else obs, *rest)


def test_numbers_that_are_not_finite_end_the_episode(tmp_path):
    gymnasium.register("reelward/BrokenCart-v0", BrokenCart)
    data = yaml.safe_load((load_robot("cartpole").folder / "robot.yaml").read_text())
    env = GymnasiumEnv(own(tmp_path, data, gymnasium="reelward/BrokenCart-v0"), 2, seed=0)
    for step in range(4):
        terminated, _ = env.step(torch.tensor([step % 2] * 2))
        assert env.diverged.all() == (step == 2) and terminated.all() == (step == 2)
        assert env.observe().isfinite().all()


@pytest.mark.parametrize("observation", ["vector", "picture"])
def test_a_picture_is_a_field(tmp_path, observation):
    pytest.importorskip("pygame", reason="Gymnasium draws its classic environments with pygame")
    data = yaml.safe_load((load_robot("cartpole").folder / "robot.yaml").read_text())
    robot = own(tmp_path, data, picture=[60, 90], observation=observation)
    env = GymnasiumEnv(robot, 2, seed=0)
    before = env.fields["image"]
    assert before.shape == (2, 60, 90, 3) and before.dtype == torch.uint8
    (field,) = (f for f in robot.fields if f.name == "image")
    assert field.shape == (60, 90, 3) and field.dtype == "uint8"
    for _ in range(8):
        env.step(torch.tensor([0, 1]))
    after = env.fields["image"]
    assert torch.equal(env.fields["image"], after) and not torch.equal(before, after)
    # The carts were pushed apart: the left one draws its dark pixels further to the left.
    dark = [(image.float().mean(-1) < 60).nonzero()[:, 1].float().mean() for image in after]
    assert dark[0] < dark[1]
    pictures = observation == "picture"
    assert env.observation_space == (Picture(60, 90) if pictures else Vector(4))
    assert torch.equal(env.observe(), after) == pictures


def test_the_factory_chooses_the_kind(tmp_path):
    env = make_env(load_robot("cartpole"), 2, seed=0, period=1.0)
    assert isinstance(env, GymnasiumEnv)
    assert make_env(load_robot("hopper"), 2, seed=0).action_space == Box(3)
    with pytest.raises(RobotError, match="robot cartpole: expected symmetric: false"):
        make_env(load_robot("cartpole"), 2, seed=0, symmetric=True)
    with pytest.raises(RobotError, match="cartpole: expected a robot with an MJCF, got CartPole"):
        load_mjcf("cartpole")


FIELD = {"unit": "1", "meaning": "a number"}


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"gymnasium": "CarPole-v1"}, "robot mine: cannot make CarPole-v1: .*doesn't exist"),
        ({"gymnasium": "no_such:Cart-v1"}, "cannot make no_such:Cart-v1"),
        ({"dt": 0}, "robot.yaml: dt = 0: expected a number above 0"),
        ({"model": "x.xml"}, "robot.yaml: model = x.xml: unknown key; "),
        ({"observation": "picture", "picture": None}, "observation: picture needs `picture"),
        ({"fields": {"a": {"obs": 4} | FIELD}}, "fields.a.obs: the observation has 4 columns"),
        ({"fields": {"a": {"obs": [2, 2]} | FIELD}}, "fields.a.obs: expected .first, after the"),
        ({"fields": {"time": {"obs": 0} | FIELD}}, "fields.time: expected a name of letters"),
        ({"fields": {"a": {"obs": [0, 2], "names": ["b"]} | FIELD}}, "names: expected 2, got 1"),
        ({"fields": {"a": {"unit": "1", "meaning": ""}}}, "fields.a.obs is missing: expected a w"),
    ],
)
def test_a_bad_robot_is_refused_in_one_line(tmp_path, changes, complaint):
    data = yaml.safe_load((load_robot("cartpole").folder / "robot.yaml").read_text())
    with pytest.raises(RobotError, match=complaint) as error:
        own(tmp_path, data, **changes)
    assert "\n" not in str(error.value)


def needs_more(**_: object) -> gymnasium.Env:
    raise gymnasium.error.DependencyNotInstalled("pip install more")


@pytest.mark.parametrize("name", ["NeedsMore-v0", "math:NeedsMore-v0"])
def test_an_environment_that_lacks_a_package_is_not_taken_for_a_misspelt_one(tmp_path, name):
    """Nor is its own name suggested; `math:` stands for the package that registers it."""
    gymnasium.register("NeedsMore-v0", needs_more)
    with pytest.raises(RobotError) as error:
        own(tmp_path, CAR, gymnasium=name)
    assert str(error.value) == f"robot mine: cannot make {name}: pip install more"


def test_pictures_without_a_screen_print_nothing(monkeypatch, capfd):
    pygame = pytest.importorskip("pygame", reason="Gymnasium draws with pygame")
    pygame.quit()
    for name in ("XDG_RUNTIME_DIR", "DISPLAY", "SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):
        monkeypatch.delenv(name, raising=False)
    GymnasiumEnv(load_robot("cartpole"), 1, seed=0).fields["image"].sum()
    assert capfd.readouterr() == ("", "")


def test_no_step_after_the_end_of_an_episode_while_states_are_recorded():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # CartPole warns of such a step
        states = recorded_states(load_robot("cartpole"))
    assert max(float(state["time"].max()) for state in states) > 0.1


def test_rewards_are_checked_on_its_fields():
    text = 'def reward(s):\n    return {{"a": {}}}\n'
    good = checked(text.format("s.task_reward - s.pole_angle.abs()"), load_robot("cartpole"))
    assert good.ok and good.inputs == ("pole_angle", "task_reward")
    region = "s.image[:, 100:120, 140:160].mean(dim=(1, 2, 3)) / 255"
    seen = checked(text.format(region), load_robot("cartpole"))
    assert seen.ok and seen.inputs == ("image",)
    bad = checked(text.format("s.root_vel[:, 0]"), load_robot("cartpole"))
    assert [e.code for e in bad.errors] == ["E_FIELD"]


def test_a_policy_learns_to_balance_the_pole(tmp_path):
    reward = 'def reward(s):\n    return {"task": s.task_reward}\n'
    args = replace(
        ARGS, robot="cartpole", symmetric=False, env_steps=32768, num_envs=16, num_steps=128,
        num_minibatches=8, update_epochs=10, learning_rate=1e-3,
    )  # fmt: skip
    trained(tmp_path / "made", args, reward=reward)
    policy = Policy.load(tmp_path / "made/out/c0.pt")
    env = make_env(load_robot("cartpole"), 8, seed=7)
    lived, alive = torch.zeros(8), torch.ones(8, dtype=torch.bool)
    for _ in range(500):
        terminated, _ = env.step(policy.act(env.observe()))
        alive &= ~terminated
        lived += alive
        env.reset(terminated)
    assert lived.median() > 150  # a random policy stands for about 22 steps
