"""PPO: advantages by hand, falls and time limits, seeds, warm starts, learning."""

import csv
import math
from dataclasses import replace

import pytest
import torch
from conftest import ROOT
from trainings import ARGS, REWARD, job, stage_args, trained

from reelward import rollout
from reelward.language import compile_reward
from reelward.policy import About, Policy
from reelward.runtime import files
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.robot import load_robot
from reelward.training import Seeds
from stages import train


def batch(rewards, values, next_values, terminated, truncated) -> train.Batch:
    rewards, values, next_values, terminated, truncated = (
        torch.tensor(x)[:, None].float()
        for x in (rewards, values, next_values, terminated, truncated)
    )
    unused = torch.zeros(len(rewards), 1)
    return train.Batch(
        unused, unused, unused, values, rewards, next_values, terminated, truncated
    )  # fmt: skip


def test_advantages_without_an_end():
    # gamma 0.5, lambda 0.5: deltas 1 + 0.5*2 - 1 = 1, 2 + 0.5*3 - 2 = 1.5, 3 + 0.5*4 - 3 = 2
    # A2 = 2, A1 = 1.5 + 0.25*2 = 2, A0 = 1 + 0.25*2 = 1.5
    b = batch([1, 2, 3], [1, 2, 3], [2, 3, 4], [0, 0, 0], [0, 0, 0])
    assert train.gae(b, 0.5, 0.5).flatten().tolist() == [1.5, 2.0, 2.0]


def test_advantages_stop_at_a_fall():
    b = batch([1, 2, 3], [1, 2, 3], [2, 9, 4], [0, 1, 0], [0, 0, 0])
    # delta1 = 2 - 2 = 0, and nothing of row 2 flows back; A0 = 1 + 0.25*0
    assert train.gae(b, 0.5, 0.5).flatten().tolist() == [1.0, 0.0, 2.0]


def test_advantages_use_the_value_of_the_last_state_at_a_time_limit():
    b = batch([1, 2, 3], [1, 2, 3], [2, 9, 4], [0, 0, 0], [0, 1, 0])
    # delta1 = 2 + 0.5*9 - 2 = 4.5 with the value 9 of the last state; A0 = 1 + 0.25*4.5
    assert train.gae(b, 0.5, 0.5).flatten().tolist() == [2.125, 4.5, 2.0]


def test_loss_by_hand():
    # Advantages 1 and 3 are normalised: mean 2, standard deviation sqrt(2) -> -1/sqrt(2), 1/sqrt(2).
    # Ratios 0.5 and 2, clipped to 0.8 and 1.2. Of the first the smaller product is -0.8/sqrt(2), of
    # the second 1.2/sqrt(2); the loss is minus their mean, -0.2/sqrt(2). Values miss by 1 and 3.
    log_ratio = torch.tensor([[0.5, 2.0]]).log()
    policy_loss, value_loss = train.ppo_loss(
        log_ratio, torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]]),
        torch.tensor([[1.0, 3.0]]), clip=0.2,
    )  # fmt: skip
    assert policy_loss.item() == pytest.approx(-0.2 / math.sqrt(2), abs=1e-6)
    assert value_loss.item() == 5.0


def test_value_after_a_time_limit_is_that_of_the_last_state(tmp_path):
    learner = train.prepare(ARGS, [job(tmp_path)])
    learner.env.age[:] = learner.env.limit - 5  # all episodes are cut at the fifth step
    learner.collect()
    b = learner.batch
    cut = b.truncated[4] > 0
    assert cut.sum() > 5 and not b.truncated[:4].any()
    torch.testing.assert_close(b.next_values[0, cut], b.values[1, cut])
    # The row after a cut belongs to another episode, so its value is another one.
    assert not torch.isclose(b.next_values[4, cut], b.values[5, cut]).any()


def test_same_seed_gives_the_same_bytes(tmp_path):
    first = trained(tmp_path / "a")
    assert first == trained(tmp_path / "b")
    assert first == trained(tmp_path / "c", threads=2)
    assert first != trained(tmp_path / "d", seeds=Seeds.of(4, 0, 0))


def test_a_warm_start_inherits_weights_and_statistics_and_explores(tmp_path):
    trained(tmp_path)
    start = tmp_path / "out" / "c0.pt"
    (tmp_path / "out" / files.SUMS).write_text(f"{files.digest(start)}  c0.pt\n")
    parent = Policy.load(start)
    warm_job = job(tmp_path, name="c1", start=start)
    (warm,) = train.prepare(ARGS, [warm_job]).candidates
    torch.testing.assert_close(warm.policy.actor[0].weight, parent.actor[0].weight)
    torch.testing.assert_close(warm.policy.obs.mean, parent.obs.mean)
    assert warm.total == ARGS.warm_env_steps and warm.learning_rate == ARGS.warm_learning_rate
    assert parent.max_std() < ARGS.warm_min_std
    assert warm.policy.log_std.min().exp().item() >= ARGS.warm_min_std - 1e-6
    train.learn_alone(ARGS, warm_job, lambda steps: None)
    lineage = Policy.load(tmp_path / "out" / "c1.pt").about.env_steps
    assert lineage == ARGS.env_steps + ARGS.warm_env_steps


def test_a_warm_start_refuses_another_network(tmp_path):
    trained(tmp_path, args=replace(ARGS, activation="elu"))
    start = tmp_path / "out" / "c0.pt"
    (tmp_path / "out" / files.SUMS).write_text(f"{files.digest(start)}  c0.pt\n")
    with pytest.raises(Exception, match=r"c0\.pt: expected a network of .*tanh.*got.*elu"):
        train.learn_alone(ARGS, job(tmp_path, name="c1", start=start), lambda steps: None)


def test_the_standard_deviation_falls_to_its_final_value(tmp_path):
    trained(tmp_path)
    policy = Policy.load(tmp_path / "out" / "c0.pt")
    assert policy.max_std() <= ARGS.final_std + 1e-6 < ARGS.init_std


def test_a_reward_that_is_not_finite_ends_the_training_by_name(tmp_path):
    bad = REWARD.replace("s.root_vel[:, 0].clamp(-2, 2)", "torch.log(s.root_vel[:, 0] - 100)")
    with pytest.raises(Exception, match=r"line 5.*'speed' is not finite in 100\.00% of"):
        train.learn_alone(ARGS, job(tmp_path, reward=bad), lambda steps: None)


@pytest.mark.parametrize("alternate", [True, False])
def test_the_policy_is_symmetric_if_the_legs_of_the_expert_alternate(tmp_path, alternate):
    args = stage_args(tmp_path, alternate=alternate, native=ROOT / "params.yaml", env_steps=256)
    train.main(args)
    assert Policy.load(tmp_path / "policies/c0.pt").about.symmetric is alternate


def test_a_rollout_survives_a_term_that_is_not_finite_now_and_then():
    source = """def reward(s):
    return {"late": torch.log(s.time - 0.05), "one": 1.0}
"""
    robot = load_robot("biped")
    env = Env(robot, CpuPhysics(robot, 1), seed=0)
    policy = Policy(About(env.observation_space, env.action_space, 16, "tanh"), 0.5)
    reward = compile_reward(source, robot.fields)
    done = rollout.run(robot, policy, reward, episodes=2, seconds=0.3, seed=1)
    times = torch.arange(1, 16) * robot.dt - 0.05
    expected = times[times > 0].log().sum().item() / 15
    assert done.lived.tolist() == [15, 15]
    assert rollout.statistics(done).term_means == pytest.approx(
        {"late": expected, "one": 1.0}, abs=1e-4
    )


def test_the_learning_curve_shows_terms_that_add_up(tmp_path):
    trained(tmp_path)
    rows = list(csv.DictReader((tmp_path / "out" / "c0.csv").read_text().splitlines()))
    assert [int(r["env_steps"]) for r in rows] == list(range(256, 2049, 256))
    assert all(float(r["term/alive"]) == 1.0 for r in rows)
    ended = [r for r in rows if not math.isnan(float(r["return"]))]
    assert ended
    for r in ended:
        assert abs(float(r["return"])) <= 3 * float(r["episode_length"])


def test_training_learns_to_stay_up(tmp_path):
    # Paid for standing, the robot stands much longer after 33 k steps than at first.
    stay = '"""Stay up."""\nPERIOD = 1.0\n\ndef reward(s):\n    return {"alive": alive(s)}\n'
    longer = replace(
        ARGS, env_steps=32768, num_envs=64, num_steps=32, num_minibatches=4, update_epochs=6,
        hidden=64,
    )  # fmt: skip
    trained(tmp_path, args=longer, reward=stay)
    rows = list(csv.DictReader((tmp_path / "out/c0.csv").read_text().splitlines()))
    lengths = [float(r["episode_length"]) for r in rows if r["episode_length"] != "nan"]
    assert sum(lengths[-5:]) / 5 > 2 * sum(lengths[:5]) / 5
