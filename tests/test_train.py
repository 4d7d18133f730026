"""PPO: advantages by hand, falls against time limits, seeds, checkpoints, what is saved."""

import csv
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from test_loop import motion
from torch import nn

from reelward import rollout
from reelward.language import compile_reward
from reelward.motion.record import to_json
from reelward.policy import Policy, Statistics
from reelward.runtime import files
from reelward.runtime.checkpoints import Checkpoints
from reelward.runtime.errors import TrainingError
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.robot import load_robot
from reelward.studies import ledger
from stages import propose, rewards, train

REWARD = '''"""Go forward."""
PERIOD = 1.0

def reward(s):
    return {"speed": s.root_vel[:, 0].clamp(-2, 2), "alive": 1.0}
'''

ARGS = train.Args(
    rewards=Path(), parent=Path(), out=Path(), robot="biped", native=Path("params.yaml"), seed=3,
    env_steps=2048, warm_env_steps=1024, device="cpu", num_envs=16, num_steps=16, num_minibatches=2,
    update_epochs=2, learning_rate=7e-4, warm_learning_rate=5e-4, final_learning_rate=0.1,
    gamma=0.98, gae_lambda=0.95, clip=0.2, value_coef=0.25, max_grad_norm=0.5, init_std=0.5,
    warm_min_std=0.3, final_std=0.2, hidden=16, activation="tanh", symmetric=True,
)  # fmt: skip


def job(folder: Path, name: str = "c0", reward: str = REWARD, start: Path | None = None, **other):
    source = folder / f"{name}.py"
    source.write_text(reward)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    made = train.Job(name, source, start, 3, out, folder / "scratch" / name, ARGS)
    return replace(made, **other)


def trained(folder: Path, **options) -> tuple[bytes, bytes]:
    folder.mkdir(exist_ok=True)
    todo = job(folder, **options)
    train.learn(todo, lambda steps: None)
    return tuple((todo.out / f"{todo.name}.{kind}").read_bytes() for kind in ("pt", "csv"))


def batch(rewards, values, next_values, terminated, truncated) -> train.Batch:
    column = [torch.tensor(x)[:, None].float() for x in (rewards, values, next_values)]
    ends = [torch.tensor(x)[:, None].float() for x in (terminated, truncated)]
    empty = torch.zeros(len(rewards), 1)
    return train.Batch(empty, empty, empty, column[1], column[0], column[2], *ends)


def test_advantages_by_hand():
    # gamma 0.5, lambda 0.5, no end: deltas 1 + 0.5*2 - 1 = 1, 2 + 0.5*3 - 2 = 1.5, 3 + 0.5*4 - 3 = 2
    # A2 = 2, A1 = 1.5 + 0.25*2 = 2, A0 = 1 + 0.25*2 = 1.5
    b = batch([1, 2, 3], [1, 2, 3], [2, 3, 4], [0, 0, 0], [0, 0, 0])
    assert train.gae(b, 0.5, 0.5).flatten().tolist() == [1.5, 2.0, 2.0]


def test_a_fall_has_no_future_and_a_time_limit_has_one():
    fall = batch([1, 2, 3], [1, 2, 3], [2, 9, 4], [0, 1, 0], [0, 0, 0])
    # the fall: delta1 = 2 - 2 = 0, nothing of row 2 flows back; A0 = 1 + 0.25*0
    assert train.gae(fall, 0.5, 0.5).flatten().tolist() == [1.0, 0.0, 2.0]
    limit = batch([1, 2, 3], [1, 2, 3], [2, 9, 4], [0, 0, 0], [0, 1, 0])
    # the limit: delta1 = 2 + 0.5*9 - 2 = 4.5 with the value 9 of the last state; A0 = 1 + 0.25*4.5
    assert train.gae(limit, 0.5, 0.5).flatten().tolist() == [2.125, 4.5, 2.0]


def test_log_probability_is_the_normal_distributions():
    mean, log_std = torch.tensor([[0.1, -0.2]]), torch.tensor([-0.5, 0.3])
    actions = torch.tensor([[0.4, 0.9]])
    peer = torch.distributions.Normal(mean, log_std.exp()).log_prob(actions).sum(-1)
    torch.testing.assert_close(train.log_prob(mean, log_std, actions), peer)


def test_running_statistics_are_those_of_all_rows():
    rows = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * 4 + 2
    statistics = Statistics.of(3)
    for part in rows.split(37):
        statistics.update(part)
    torch.testing.assert_close(statistics.mean.float(), rows.mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(statistics.var.float(), rows.var(0, correction=0), atol=1e-3, rtol=0)


def test_value_after_a_time_limit_is_that_of_the_last_state(tmp_path):
    learner = train.Learner([job(tmp_path)])
    learner.env.age[:] = learner.env.limit - 5  # all are cut at the fifth step
    with torch.no_grad():
        learner.collect()
    b = learner.batch
    cut = b.truncated[4] > 0
    assert cut.sum() > 5 and not b.truncated[:4].any()
    torch.testing.assert_close(b.next_values[0, cut], b.values[1, cut])
    # The row after a cut belongs to another episode, so its value is another one.
    assert not torch.isclose(b.next_values[4, cut], b.values[5, cut]).any()


def test_one_seed_one_result(tmp_path):
    first = trained(tmp_path / "a")
    assert first == trained(tmp_path / "b")
    assert first == trained(tmp_path / "c", threads=2)
    assert first != trained(tmp_path / "d", seed=4)


def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole")
    monkeypatch.setenv("REELWARD_CHECKPOINT_S", "0")
    stopped = tmp_path / "stopped"
    stopped.mkdir()

    def stop(steps: int) -> None:
        if steps >= 3 * 256:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.learn(job(stopped), stop)
    seen = []
    train.learn(job(stopped), seen.append)
    assert seen[:2] == [2 * 256, 3 * 256]  # it went on and did not begin again
    assert whole == tuple((stopped / "out" / f"c0.{k}").read_bytes() for k in ("pt", "csv"))


def test_progress_counts_what_was_done_before(tmp_path):
    first, again = [], []
    train.learn(job(tmp_path), first.append)
    train.learn(job(tmp_path), again.append)
    assert again == [first[-1]]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path)
    for number in (1, 2, 3):
        checkpoints.save(number, {"number": number})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "3"]
    state = tmp_path / "3/state.pt"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1  # a single bit, which torch.load does not notice
    state.write_bytes(data)
    assert checkpoints.newest() == {"number": 2}
    assert "3/state.pt is damaged" in capsys.readouterr().err


def test_a_saved_policy_acts_the_same(tmp_path):
    todo = job(tmp_path)
    learner = train.Learner([todo])
    learner.collect()
    learner.update()
    learner.candidates[0].policy.save(tmp_path / "policy.pt")
    obs = learner.env.observe() * 3
    again = Policy.load(tmp_path / "policy.pt")
    assert torch.equal(again.act(obs), learner.candidates[0].policy.act(obs))
    assert again.about["reward"] == learner.candidates[0].reward.digest


def test_a_warm_start_takes_weights_statistics_and_a_least_deviation(tmp_path):
    trained(tmp_path)
    start = tmp_path / "out" / "c0.pt"
    (tmp_path / "out" / files.SUMS).write_text(f"{files.digest(start)}  c0.pt\n")
    parent = Policy.load(start)
    (warm,) = train.Learner([job(tmp_path, name="c1", start=start)]).candidates
    torch.testing.assert_close(warm.policy.actor[0].weight, parent.actor[0].weight)
    torch.testing.assert_close(warm.policy.obs.mean, parent.obs.mean)
    assert warm.total == ARGS.warm_env_steps and warm.learning_rate == ARGS.warm_learning_rate
    assert warm.policy.log_std.min().exp().item() >= ARGS.warm_min_std - 1e-6
    train.learn(job(tmp_path, name="c1", start=start), lambda steps: None)
    lineage = Policy.load(tmp_path / "out" / "c1.pt").about["env_steps"]
    assert lineage == ARGS.env_steps + ARGS.warm_env_steps


@pytest.mark.parametrize("activation", ["elu", "silu"])
def test_a_policy_keeps_its_activation(tmp_path, activation):
    args = replace(ARGS, activation=activation)
    trained(tmp_path, args=args)
    path = tmp_path / "out" / "c0.pt"
    policy, x = Policy.load(path), torch.linspace(-2, 2, 9)
    first, function = policy.actor[0], getattr(nn.functional, activation)
    obs = torch.randn(3, first.in_features, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(policy.actor[1](x), function(x))
    hidden = function(policy.actor[2](function(first(obs))))
    torch.testing.assert_close(policy.actor(obs), policy.actor[4](hidden))
    (tmp_path / "out" / files.SUMS).write_text(f"{files.digest(path)}  c0.pt\n")
    with pytest.raises(Exception, match=f"c0.pt: expected a network of .*tanh.*got.*{activation}"):
        train.learn(job(tmp_path, name="c1", start=path), lambda steps: None)


def test_a_reward_that_is_not_finite_ends_the_training_by_name(tmp_path):
    bad = REWARD.replace("s.root_vel[:, 0].clamp(-2, 2)", "torch.log(s.root_vel[:, 0] - 100)")
    with pytest.raises(Exception, match=r"line 5.*'speed' is not finite in 100\.00% of"):
        train.learn(job(tmp_path, reward=bad), lambda steps: None)


@pytest.mark.parametrize(("lag", "mirrored"), [(0.48, True), (0.03, False)])
def test_the_policy_mirrors_legs_that_alternate(tmp_path: Path, lag: float, mirrored: bool):
    files.write_json(tmp_path / "expert/motion.json", to_json(motion(lag=lag)))
    args = propose.Args(
        expert=tmp_path / "expert", criteria=tmp_path, parent=tmp_path, parent_best=tmp_path,
        out=tmp_path / "proposal.json", robot="biped", native=ROOT / "params.yaml", task="walk",
        critic="measured", author="measured", candidates=1, model=None, temperature=None,
        max_tokens=1000, evidence="critique",
    )  # fmt: skip
    files.write_text(tmp_path / "selected.py", "def reward(s):\n    return {}\n")
    files.write_json(tmp_path / "feedback.json", {})
    propose.main(args)
    files.write_text(tmp_path / "loop.yaml", ledger.FIRST)
    given = ("biped", tmp_path / "loop.yaml", "iter-00", ROOT / "params.yaml")
    rewards.main(rewards.Args(args.out, tmp_path / "rewards", *given))
    short = {"rewards": tmp_path / "rewards", "out": tmp_path / "policies", "env_steps": 256}
    train.main(replace(ARGS, native=ROOT / "params.yaml", **short))
    assert Policy.load(tmp_path / "policies/c0.pt").about["symmetric"] is mirrored


def test_a_rollout_outlives_a_term_that_is_not_finite_now_and_then():
    source = """def reward(s):
    return {"late": torch.log(s.time - 0.05), "one": 1.0}
"""
    robot = load_robot("biped")
    env = Env(robot, CpuPhysics(robot, 1), seed=0)
    policy = Policy.new(env.observe().shape[1], env.action.shape[1], 16, 0.5, "tanh")
    policy.about["symmetric"] = False
    reward = compile_reward(source, robot.fields)
    done = rollout.run(robot, policy, reward, episodes=2, seconds=0.3, seed=1)
    times = torch.arange(1, 16) * robot.dt - 0.05
    expected = times[times > 0].log().sum().item() / 15
    assert done.lived.tolist() == [15, 15]
    assert rollout.statistics(done)["term_means"] == pytest.approx(
        {"late": expected, "one": 1.0}, abs=1e-4
    )


def test_the_curve_shows_terms_that_add_up(tmp_path):
    trained(tmp_path)
    rows = list(csv.DictReader((tmp_path / "out" / "c0.csv").read_text().splitlines()))
    assert [int(r["env_steps"]) for r in rows] == list(range(256, 2049, 256))
    assert all(float(r["term/alive"]) == 1.0 for r in rows)
    ended = [r for r in rows if not math.isnan(float(r["return"]))]
    for r in ended:
        assert abs(float(r["return"])) <= 3 * float(r["episode_length"])


def test_training_learns(tmp_path):
    # Standing up for reward: after 100 k steps episodes last much longer than at first.
    stay = '"""Stay up."""\nPERIOD = 1.0\n\ndef reward(s):\n    return {"alive": alive(s)}\n'
    longer = replace(
        ARGS, env_steps=98304, num_envs=64, num_steps=32, num_minibatches=4, update_epochs=6,
        hidden=64,
    )  # fmt: skip
    todo = job(tmp_path, reward=stay, args=longer)
    train.learn(todo, lambda steps: None)
    rows = list(csv.DictReader((todo.out / "c0.csv").read_text().splitlines()))
    lengths = [float(r["episode_length"]) for r in rows if r["episode_length"] != "nan"]
    assert sum(lengths[-5:]) / 5 > 2 * sum(lengths[:5]) / 5


def slow_to_die(job, report):
    threading.Thread(target=time.sleep, args=(1.0,)).start()
    raise ValueError("why it failed")


def test_what_a_candidate_said_outlives_its_process():
    (said,) = train.spread(slow_to_die, [0], 1, lambda done: None)
    assert "ValueError: why it failed" in str(said)


JOBS = """
import sys
from reelward.runtime.workers import spread

def work(job, report):
    assert "reelward.sim.cpu" in sys.modules  # only the fork server can have loaded it

if __name__ == "__main__":
    print(spread(work, [0, 1], 2, lambda done: None))
"""


def test_workers_find_loaded_what_a_training_needs(tmp_path):
    (tmp_path / "jobs.py").write_text(JOBS)
    ran = subprocess.run(
        [sys.executable, "-m", "jobs"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ran.stdout, ran.stderr) == ("[None, None]\n", "")


def test_candidates_are_alone_in_their_processes(tmp_path):
    """Two at once give the bytes of one at a time, and a failing one stops no other."""
    alone = trained(tmp_path / "alone")
    together = tmp_path / "together"
    together.mkdir()
    bad = "def reward(s):\n    return {'x': torch.log(s.root_vel[:, 0] - 100)}\n"
    todo = [job(together), job(together, name="c1", reward=bad)]
    reasons = train.spread(train.learn, todo, 2, lambda steps: None)
    assert reasons[0] is None and "line 2, col 0: term 'x' is not finite" in str(reasons[1])
    assert isinstance(reasons[1], TrainingError)
    assert alone == tuple((together / "out" / f"c0.{k}").read_bytes() for k in ("pt", "csv"))


def test_killed_at_random_points_the_result_is_the_same(tmp_path):
    """kill -9 of a whole training again and again; what comes out in the end is what comes out of
    one that nobody disturbed. REELWARD_KILLS sets how often (a few in the quick suite): a training
    that came to its end in spite of them is held against that one, and the next begins."""
    whole = trained(tmp_path / "whole")
    environment = os.environ | {"REELWARD_CHECKPOINT_S": "0"}
    rng = torch.Generator().manual_seed(0)
    kills, ends, left = 0, 0, int(os.environ.get("REELWARD_KILLS", "3"))
    whole_again = False
    while left or not whole_again:
        folder = tmp_path / f"killed-{ends}"
        if not folder.exists():
            folder.mkdir()
            job(folder)
        code = (
            "import sys; sys.path.insert(0, 'tests'); from pathlib import Path; import test_train as t;"
            f"t.train.learn(t.job(Path({str(folder)!r})), lambda steps: print(steps, flush=True))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True
        )
        if left:
            process.stdout.readline()
            time.sleep(float(torch.rand(1, generator=rng)) * 0.1)
            process.send_signal(signal.SIGKILL)
        process.communicate()
        whole_again = process.returncode == 0
        if whole_again:
            assert whole == tuple((folder / "out" / f"c0.{k}").read_bytes() for k in ("pt", "csv"))
            ends += 1
        else:
            assert process.returncode == -signal.SIGKILL
            kills, left = kills + 1, left - 1
    print(f"{kills} kills in {ends} trainings")


def test_what_defines_a_training_names_its_checkpoints(tmp_path, monkeypatch):
    """Another seed, reward, start or option is another training; nothing else is."""
    for name in ("c0", "c1"):
        (tmp_path / f"{name}.py").write_text(REWARD if name == "c0" else REWARD + "# other\n")
    (tmp_path / "policy.pt").write_bytes(b"weights")
    args = replace(ARGS, rewards=tmp_path, parent=tmp_path)

    def folder(args=args, **change) -> str:
        candidate = {"name": "c0", "file": "c0.py", "start": "scratch", "seed": 1} | change
        return train.jobs(args, [candidate], tmp_path)[0].scratch.name

    same = folder(name="c5"), folder(replace(args, out=Path("elsewhere")))
    assert set(same) == {folder()}
    others = [
        folder(seed=2), folder(file="c1.py"), folder(start="warm"), folder(replace(args, seed=9)),
        folder(replace(args, gamma=0.9)), folder(replace(args, robot="walker2d")),
    ]  # fmt: skip
    assert len({folder(), *others}) == 7
