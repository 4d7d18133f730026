"""Policies: statistics, distributions, networks, files, and several side by side."""

import math
from itertools import product

import pytest
import torch
from torch import nn

from reelward.policy import About, Categorical, Convolutions, Gaussian, Policies, Policy, Statistics
from reelward.sim.spaces import Box, Discrete, Picture, Vector

SEEN = [Vector(3), Picture(16, 12)]
DONE = [Box(2), Discrete(4)]


def observations(space, *shape: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    if isinstance(space, Vector):
        return torch.randn(*shape, space.size, generator=rng) * 3 + 1
    size = (space.height, space.width, space.channels)
    return torch.randint(0, 256, (*shape, *size), dtype=torch.uint8, generator=rng)


def test_running_statistics_are_those_of_all_rows():
    rows = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * 4 + 2
    statistics = Statistics(3)
    for part in rows.split(37):
        statistics.update(part)
    torch.testing.assert_close(statistics.mean.float(), rows.mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(statistics.var.float(), rows.var(0, correction=0), atol=1e-3, rtol=0)


def test_gaussian_log_probability_is_that_of_torch():
    mean, log_std = torch.tensor([[0.1, -0.2]]), torch.tensor([-0.5, 0.3])
    actions = torch.tensor([[0.4, 0.9]])
    expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(actions).sum(-1)
    torch.testing.assert_close(Gaussian(mean, log_std).log_prob(actions), expected)


def test_categorical_log_probability_is_that_of_torch():
    logits, actions = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]]), torch.tensor([1, 2])
    expected = torch.distributions.Categorical(logits=logits).log_prob(actions)
    torch.testing.assert_close(Categorical(logits).log_prob(actions), expected)
    assert Categorical(logits).mode.tolist() == [2, 0]


def test_samples_have_the_moments_of_their_distribution():
    rng = torch.Generator().manual_seed(0)
    gaussian = Gaussian(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0]).log())
    drawn = gaussian.sample(Gaussian.noise(20000, Box(2), rng))
    torch.testing.assert_close(drawn.mean(0), torch.tensor([1.0, -2.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.tensor([0.5, 2.0]), atol=0.05, rtol=0)
    probabilities = torch.tensor([0.1, 0.6, 0.3])
    drawn = Categorical(probabilities.log()).sample(Categorical.noise(20000, Discrete(3), rng))
    torch.testing.assert_close(drawn.bincount() / 20000, probabilities, atol=0.015, rtol=0)


@pytest.mark.parametrize("activation", ["tanh", "elu", "silu"])
def test_a_vector_goes_through_two_hidden_layers(activation):
    policy = Policy(About(Vector(3), Box(2), 8, activation))
    function = getattr(torch, activation, None) or getattr(nn.functional, activation)
    x = observations(Vector(3), 5)
    first, second, last = (policy.actor[i] for i in (0, 2, 4))
    torch.testing.assert_close(policy.actor(x), last(function(second(function(first(x))))))


def test_convolutions_on_the_picture_of_atari_are_those_of_nature_dqn():
    # Mnih et al. 2015: 84 x 84 x 4 becomes 20 x 20 x 32, 9 x 9 x 64, 7 x 7 x 64.
    body = Convolutions(Picture(84, 84, 4))
    weights = [p.shape for p in body.parameters() if p.ndim == 4]
    assert weights == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3)]
    assert body.size == 7 * 7 * 64


@pytest.mark.parametrize("side", [1, 3, 7, 16, 35])
def test_small_pictures_skip_convolutions_that_are_too_large(side):
    space = Picture(side, side + 1)
    body = Convolutions(space)
    assert body(observations(space, 2, 5)).shape == (2, 5, body.size)


def test_pictures_are_scaled_to_one_and_keep_no_statistics():
    policy = Policy(About(Picture(4, 4, 1), Box(2), 8, "tanh"))
    assert policy.obs is None
    white = torch.full((1, 4, 4, 1), 255, dtype=torch.uint8)
    features = policy.actor[0](white)
    weight = policy.actor[0].layers[0].weight  # the second convolution of Nature-DQN, 4 x 4
    torch.testing.assert_close(features, weight.sum((1, 2, 3)).relu()[None])


@pytest.mark.parametrize(("seen", "done"), list(product(SEEN, DONE)))
def test_a_saved_policy_acts_the_same(tmp_path, seen, done):
    policy = Policy(About(seen, done, 8, "silu", "biped", True, "digest", 7), 0.5)
    obs = observations(seen, 50)
    if policy.obs is not None:
        policy.obs.update(obs)
    policy.save(tmp_path / "policy.pt")
    again = Policy.load(tmp_path / "policy.pt")
    assert again.about == policy.about
    actions = again.act(obs)
    assert torch.equal(actions, policy.act(obs))
    assert actions.shape == ((50, 2) if isinstance(done, Box) else (50,))


def test_limits_of_the_standard_deviation():
    policy = Policy(About(Vector(3), Box(2), 8, "tanh"), 0.5)
    policy.limit_std(low=0.7)
    assert policy.max_std() == pytest.approx(0.7)
    policy.limit_std(high=0.2)
    assert policy.max_std() == pytest.approx(0.2)
    discrete = Policy(About(Vector(3), Discrete(2), 8, "tanh"), 0.5)
    discrete.limit_std(low=0.7)
    assert discrete.log_std is None and discrete.max_std() == 0.0


@pytest.mark.parametrize(("seen", "done"), list(product(SEEN, DONE)))
def test_policies_side_by_side_give_what_each_gives_alone(seen, done):
    members = [Policy(About(seen, done, 8, "tanh"), 0.5 + i) for i in range(3)]
    obs = observations(seen, 5, 3, 7)  # [T, C, N, ...]
    together = Policies(members)
    together.update_statistics(obs)
    together.refresh()
    noise = together.noise(7, [torch.Generator().manual_seed(i) for i in range(3)])
    distribution = together.distribution(together.normalise(obs))
    values = together.critic(together.normalise(obs))
    actions = distribution.sample(noise)
    assert values.shape == distribution.log_prob(actions).shape == (5, 3, 7)
    for i, policy in enumerate(members):
        alone = Policies([policy])
        part = alone.normalise(obs[:, i : i + 1])
        mine = alone.distribution(part)
        torch.testing.assert_close(distribution.mode[:, i], policy.act(obs[:, i]))
        torch.testing.assert_close(
            distribution.log_prob(actions)[:, i], mine.log_prob(actions[:, i : i + 1])[:, 0]
        )
        torch.testing.assert_close(values[:, i], alone.critic(part)[:, 0])


def test_policies_normalise_by_the_statistics_of_the_last_refresh():
    members = [Policy(About(Vector(3), Box(2), 8, "tanh"), 0.5) for _ in range(2)]
    both = Policies(members)
    rows = torch.randn(2, 50, 3) * torch.tensor([1.0, 4.0, 9.0]) + 2.0
    before = both.normalise(rows)
    both.update_statistics(rows[None])
    assert torch.equal(both.normalise(rows), before)
    both.refresh()
    mean, std = rows.mean(1, keepdim=True), rows.std(1, correction=0, keepdim=True)
    expected = ((rows - mean) / std).clamp(-8, 8)
    torch.testing.assert_close(both.normalise(rows), expected, atol=1e-4, rtol=1e-4)


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    policies = Policies([Policy(About(Vector(3), Box(2), 8, "tanh"))])
    discounted = torch.tensor([[0.0, 4.0]])  # its standard deviation is 2
    scaled = policies.scale_rewards(torch.tensor([[1.0, -100.0]]), discounted)
    assert scaled.tolist() == [[pytest.approx(0.5, abs=1e-3), -10.0]]
    assert math.isclose(policies.members[0].returns.mean.item(), 2.0, abs_tol=1e-3)
