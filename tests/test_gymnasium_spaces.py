"""Environments of Gymnasium with other spaces, ends and pictures: right, or refused in one line."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces

from reelward.language.compiler import compile_reward
from reelward.language.errors import RewardError
from reelward.policy import About, Policy
from reelward.rollout import longest, run
from reelward.sim.environment import make_env
from reelward.sim.gymnasium_robot import GymnasiumRobot
from reelward.sim.robot import load_robot
from reelward.sim.schema import RobotError

LIMIT = 7
UNIT = spaces.Box(-1, 1, (2,), np.float32)
CLOCK = {"count": {"obs": 0, "unit": "steps", "meaning": "since the reset"}}


class AnyEnv(gymnasium.Env[Any, Any]):
    """Observes how many steps it took, and ends itself after LIMIT of them. A step after that is an
    error, as the interface of Gymnasium leaves it undefined."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, seen=UNIT, acts=UNIT, picture=None, render_mode=None) -> None:
        self.observation_space, self.action_space, self.picture = seen, acts, picture

    def _obs(self) -> Any:
        sample = self.observation_space.sample()
        if isinstance(sample, np.ndarray):
            sample[0] = self.count
        return sample

    def reset(self, *, seed=None, options=None) -> tuple[Any, dict[str, Any]]:
        self.count = 0
        self.observation_space.seed(seed)
        return self._obs(), {}

    def step(self, action) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.count < LIMIT, "a step after the end of the episode"
        self.count += 1
        return self._obs(), 1.0, False, self.count == LIMIT, {}

    def render(self) -> Any:
        return self.picture


def robot_of(folder: Path, data: dict[str, object] | None = None, **options: Any) -> GymnasiumRobot:
    gymnasium.registry.pop("reelward/Any-v0", None)
    gymnasium.register("reelward/Any-v0", AnyEnv, kwargs=options)
    content = {"gymnasium": "reelward/Any-v0", "dt": 0.1, "episode_s": 5.0, "fields": {}}
    (folder / "mine").mkdir()
    (folder / "mine/robot.yaml").write_text(yaml.safe_dump(content | (data or {})))
    robot = load_robot("mine", folder)
    assert isinstance(robot, GymnasiumRobot)
    return robot


@pytest.mark.parametrize(
    "options, data, complaint",
    [
        ({"acts": spaces.MultiDiscrete([2, 3])}, {}, "one Discrete or one Box, got MultiDiscrete"),
        ({"acts": spaces.MultiBinary(3)}, {}, "one Discrete or one Box, got MultiBinary"),
        ({"acts": spaces.Dict(a=UNIT)}, {}, "one Discrete or one Box, got Dict"),
        ({"acts": spaces.Tuple((UNIT, UNIT))}, {}, "one Discrete or one Box, got Tuple"),
        ({"acts": spaces.Box(-np.inf, 1, (2,))}, {}, "bounded actions.*RescaleAction"),
        ({"acts": spaces.Box(np.float32(-3e38), np.float32(3e38), (2,))}, {}, "bounded actions"),
        ({"seen": spaces.Sequence(UNIT)}, {}, "expected observations of numbers, got Sequence"),
        ({}, {"fields": {"a": {"obs": 2, "unit": "1", "meaning": ""}}}, "the observation has 2 columns"),
        ({}, {"gymnasium": "reelward/Anny-v0"}, "cannot make reelward/Anny-v0: .*Did you mean"),
        ({}, {"gymnasium": "CartPool-v1"}, "cannot make CartPool-v1: .*[dD]id you mean:? `?CartPole"),
        ({}, {"gymnasium": "ALE/Pong-v5"}, "cannot make ALE/Pong-v5: Namespace ALE not found"),
        ({"none_of_its_options": 1}, {}, "cannot make reelward/Any-v0: .*none_of_its_options"),
    ],
)  # fmt: skip
def test_what_no_policy_could_use_is_refused_in_one_line(tmp_path, options, data, complaint):
    with pytest.raises(RobotError, match=complaint) as error:
        robot_of(tmp_path, data, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "seen, size",
    [
        (spaces.Dict(b=spaces.Discrete(3), a=UNIT), 5),
        (spaces.Tuple((UNIT, spaces.MultiBinary(2))), 4),
        (spaces.Box(0, 255, (2, 2, 1), np.uint8), 4),
    ],
)
def test_observations_of_several_parts_are_flattened(tmp_path, seen, size):
    env = make_env(robot_of(tmp_path, seen=seen), 2, seed=0)
    env.step(torch.zeros(2, 2))
    assert env.observe().shape == (2, size) and env.observe().isfinite().all()


def test_a_rollout_ends_with_an_episode_that_the_environment_ends(tmp_path):
    robot = robot_of(tmp_path, {"fields": CLOCK})
    policy = Policy(About(robot.observation_space, robot.action_space, 8, "tanh"))
    episodes = run(robot, policy, None, episodes=2, seconds=2.0, seed=0, fields=("count",))
    assert episodes.lived.tolist() == [LIMIT, LIMIT]
    assert len(longest(episodes).actions) == LIMIT
    # It begins again at once, so that no step follows the end.
    assert episodes.recorded["count"][:9, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 1, 2]


@pytest.mark.parametrize(
    "picture, complaint",
    [(None, r"got object \[\]"), (np.zeros((4, 4), np.uint8), r"got uint8 \[4, 4\]"),
     (np.zeros((4, 4, 3)), r"got float64 \[4, 4, 3\]")],
)  # fmt: skip
def test_what_is_no_picture_is_refused_in_one_line(tmp_path, picture, complaint):
    env = make_env(robot_of(tmp_path, {"picture": [8, 8]}, picture=picture), 1, seed=0)
    with pytest.raises(RobotError, match=f"no picture: expected uint8 .* {complaint}; delete"):
        env.fields["image"]


def test_an_environment_that_draws_nothing_has_no_picture(tmp_path, monkeypatch):
    monkeypatch.setitem(AnyEnv.metadata, "render_modes", ["human"])
    with pytest.raises(RobotError, match="picture: reelward/Any-v0 draws no rgb_array, only human"):
        robot_of(tmp_path, {"picture": [8, 8]})


def test_a_reward_that_reads_a_whole_picture_is_told_to_cut_it():
    text = 'def reward(s):\n    return {"a": s.image.mean(dim=(1, 2, 3)) / 255}\n'
    with pytest.raises(RewardError) as refused:
        compile_reward(text, load_robot("cartpole").fields)
    (error,) = refused.value.errors
    assert error.code == "E_LIMIT" and "s.image[:, top:bottom, left:right]" in error.hint
    assert "picture: [height, width]" in error.hint
