"""The reward language: Python syntax, our own compiler, nothing of the text ever executed."""

from reelward.language.errors import Diagnostic, RewardError
from reelward.language.reward import Reward, compile_reward

__all__ = ["Diagnostic", "Reward", "RewardError", "compile_reward"]
