"""PPO with discrete actions and with pictures, in environments whose best policy is known."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_envs import FIELDS, REWARD, BrightSpot, Corridor, Toy
from trainings import ARGS, trained

from reelward.language import compile_reward
from reelward.training import Job, Seeds, Session, WatchedReward
from stages import train

SMALL = replace(
    ARGS, num_envs=64, num_steps=16, num_minibatches=4, update_epochs=4, learning_rate=3e-3,
    gamma=0.95, hidden=32, symmetric=False,
)  # fmt: skip


def learner(env: Toy, folder: Path, env_steps: int) -> train.Learner:
    args = replace(SMALL, env_steps=env_steps)
    job = Job("c0", folder / "c0.py", None, Seeds.of(1, 0, 0), folder, folder / "checkpoints")
    reward = WatchedReward("c0", compile_reward(REWARD, FIELDS))
    return train.Learner(args, env, [train.begin(args, job, reward, env)])


def train_to_the_end(env: Toy, folder: Path, env_steps: int) -> train.Learner:
    learned = learner(env, folder, env_steps)
    session = Session(learned, lambda name, steps: None)
    while session.goes_on:
        session.record(learned.collect(), learned.update())
    return learned


def test_discrete_actions_find_the_way_out_of_a_corridor(tmp_path):
    learned = train_to_the_end(Corridor(64), tmp_path, 15 * 1024)
    (candidate,) = learned.candidates
    last = candidate.curve[-1]
    assert candidate.curve[0]["episode_length"] > 8
    assert last["episode_length"] < 4.2 and last["return"] > 0.58
    assert "std" not in last  # discrete actions have no standard deviation
    cells = torch.eye(5)[:4]
    assert candidate.policy.act(cells).tolist() == [1, 1, 1, 1]


def test_a_picture_tells_which_action_pays(tmp_path):
    learned = train_to_the_end(BrightSpot(64), tmp_path, 12 * 1024)
    (candidate,) = learned.candidates
    assert candidate.curve[0]["term/pay"] == pytest.approx(0.5, abs=0.06)
    assert candidate.curve[-1]["term/pay"] > 0.95
    every = BrightSpot(256)
    every.place = torch.arange(256)
    right = every.place % 16 >= 8
    assert (candidate.policy.act(every.observe()) == right).float().mean() > 0.95


def test_cartpole_is_solved(tmp_path):
    """CartPole-v1 pays 1 a step, at most 500 times; a random policy lasts for about 20."""
    args = replace(
        SMALL, robot="cartpole", env_steps=65536, num_envs=32, num_steps=64, num_minibatches=8,
        update_epochs=8, learning_rate=2.5e-3, gamma=0.98,
    )  # fmt: skip
    reward = 'def reward(s):\n    return {"task": s.task_reward}\n'
    trained(tmp_path, args=args, reward=reward)
    rows = list(csv.DictReader((tmp_path / "out/c0.csv").read_text().splitlines()))
    lengths = [float(row["episode_length"]) for row in rows]
    assert lengths[0] < 30
    assert sum(lengths[-5:]) / 5 > 400


def test_pictures_stay_bytes_until_the_network(tmp_path):
    env = BrightSpot(64)
    learned = learner(env, tmp_path, 1024)
    learned.collect()
    assert learned.batch.obs.dtype == torch.uint8
    assert learned.batch.obs.shape == (16, 1, 64, 16, 16, 1)
    assert learned.batch.actions.shape == (16, 1, 64)
    learned.update()


def test_an_interrupted_training_on_pictures_continues_exactly(tmp_path, monkeypatch):
    monkeypatch.setenv("REELWARD_CHECKPOINT_S", "0")
    curves = []
    for name, stop in (("whole", None), ("stopped", 2)):
        (tmp_path / name).mkdir()
        if stop:
            first = learner(BrightSpot(64), tmp_path / name, 3 * 1024)
            session = Session(first, lambda name, steps: None)
            for _ in range(stop):
                session.record(first.collect(), first.update())
        learned = train_to_the_end(BrightSpot(64), tmp_path / name, 3 * 1024)
        curves.append(learned.candidates[0].curve)
    assert [row["env_steps"] for row in curves[0]] == [1024, 2048, 3072]
    assert repr(curves[0]) == repr(curves[1])
