"""Rewards while a policy trains: whatever they do costs their own training alone."""

from __future__ import annotations

import pytest
import torch
from language_fields import STATE, X
from trainings import ARGS, REWARD, job

from reelward.language.compiler import compile_reward
from reelward.language.watch import Watch
from reelward.runtime.errors import TrainingError
from reelward.training import WatchedReward
from stages import train


@pytest.mark.parametrize("error", [
    RuntimeError("ZeroDivisionError"), ZeroDivisionError("by zero"), IndexError("\x1b[2J"),
    MemoryError(), TypeError("two\nlines"),
])  # fmt: skip
def test_whatever_a_reward_raises_ends_its_own_training(error):
    def raises(fields):
        raise error

    watched = WatchedReward("c0", compile_reward("def reward(s):\n    return {'a': s.x}", X))
    watched.terms = raises
    lost = torch.zeros(4, dtype=torch.bool)
    assert watched(STATE, lost).tolist() == [0, 0, 0, 0]
    assert isinstance(watched.error, TrainingError)
    text = str(watched.error)
    assert text.startswith("the reward cannot be computed") and text.isprintable()


def test_one_candidate_that_raises_in_the_middle_costs_the_other_nothing(tmp_path, monkeypatch):
    """Both train in one process, as on a GPU; the one left gets its policy."""
    calls = []

    def breaks(self, fields):
        calls.append(1)
        if len(calls) > 20:
            raise RuntimeError("an index is out of range")
        return fields["time"] * 0

    bad = WatchedReward.__call__

    def reward(self, fields, lost):
        if self.name == "c1":
            self.terms = lambda now: {"a": breaks(self, now)}
        return bad(self, fields, lost)

    monkeypatch.setattr(WatchedReward, "__call__", reward)
    jobs = [
        job(tmp_path),
        job(tmp_path, name="c1", reward="def reward(s):\n    return {'a': s.time}\n"),
    ]
    errors = train.learn(ARGS, jobs, lambda name, steps: None)
    assert list(errors) == ["c1"] and "an index is out of range" in str(errors["c1"])
    assert (tmp_path / "out/c0.pt").exists() and not (tmp_path / "out/c1.pt").exists()


def test_a_huge_value_counts_as_none_and_is_named():
    text = "def reward(s):\n    return {'a': s.x, 'b': 3e38 * s.x, 'c': 1e5 * s.x}"
    reward = compile_reward(text, X)
    watch = Watch(reward, limit=0.5)
    a, b, c = watch.masked(reward(STATE)).tolist()
    assert a == [-1, 0.5, 2, 4] and b == [0] * 4 and c == [-1e5, 5e4, 2e5, 4e5]
    with pytest.raises(ValueError, match=r"'b' is not finite in 100\.00%.* above 1e\+06"):
        watch.check()


def test_a_policy_that_is_not_finite_is_no_result(tmp_path, monkeypatch):
    update = train.Learner.update

    def spoilt(self):
        figures = update(self)
        for c in self.candidates:
            with torch.no_grad():
                c.policy.weights()[0].fill_(torch.nan)
        return figures

    monkeypatch.setattr(train.Learner, "update", spoilt)
    with pytest.raises(TrainingError, match="the policy is not finite"):
        train.learn_alone(ARGS, job(tmp_path, reward=REWARD), lambda steps: None)
    assert not (tmp_path / "out/c0.pt").exists()
