"""Pictures as a field of the state: uint8 `[N, H, W, 3]`, read by parts."""

from __future__ import annotations

import pytest
import torch

from reelward.language.compiler import compile_reward
from reelward.language.contract import check_contract
from reelward.language.errors import RewardError
from reelward.sim.field import Field

FIELDS = (
    Field("picture", (64, 64, 3), "0 to 255", "what the camera sees", dtype="uint8"),
    Field("time", (), "s", "time since the episode began"),
)


def test_the_mean_brightness_of_a_region_is_a_term():
    text = "def reward(s):\n    return {'light': s.picture[:, 8:24, 40:, 1].mean(dim=(1, 2)) / 255}"
    reward = compile_reward(text, FIELDS)
    picture = torch.zeros(3, 64, 64, 3, dtype=torch.uint8)
    picture[1, 8:24, 40:, 1] = 255
    picture[2, 8:16, 40:, 1] = 51
    picture[2, :, :, 0] = 255  # another channel
    light = reward({"picture": picture, "time": torch.zeros(3)})["light"]
    assert light.dtype == torch.float32 and light.tolist() == pytest.approx([0, 1, 0.1])
    assert reward.inputs == {"picture"} and check_contract(reward, FIELDS) == []


def test_pixels_are_numbers_not_bytes():
    """250 + 10 is 260; as bytes it would be 4."""
    text = "def reward(s):\n    p = s.picture[:, 0, 0]\n    return {'a': p[:, 0] + p[:, 1], 'b': p[:, 2] * 1}"
    picture = torch.tensor([250, 10, 7], dtype=torch.uint8).expand(2, 64, 64, 3)
    out = compile_reward(text, FIELDS)({"picture": picture, "time": torch.zeros(2)})
    assert out["a"].tolist() == [260, 260] and out["b"].tolist() == [7, 7]


def test_a_whole_picture_can_be_reduced_but_not_multiplied():
    whole = "def reward(s):\n    return {'a': s.picture.mean(dim=(1, 2, 3))}"
    picture = torch.full((2, 64, 64, 3), 100, dtype=torch.uint8)
    out = compile_reward(whole, FIELDS)({"picture": picture, "time": torch.zeros(2)})
    assert out["a"].tolist() == [100, 100]
    for text in (
        "(s.picture / 255.0).mean(dim=(1, 2, 3))",
        "s.picture.expand(s.time.shape[0], 64, 64, 3) + 1",
    ):
        with pytest.raises(RewardError, match="E_LIMIT|E_REWARD"):
            compile_reward(f"def reward(s):\n    return {{'a': {text}}}", FIELDS)


def test_a_constant_term_needs_no_picture():
    reward = compile_reward("def reward(s):\n    return {'a': 0.5}", FIELDS)
    assert reward.inputs == {"time"}
