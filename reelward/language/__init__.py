"""The reward language: Python syntax, our own compiler, nothing of the text ever executed."""

from reelward.language.compiler import compile_reward
from reelward.language.contract import check_contract, trial_states
from reelward.language.errors import Diagnostic, RewardError
from reelward.language.native import NativeError, native_terms, read_native
from reelward.language.reward import Reward
from reelward.language.watch import Watch

__all__ = [
    "Diagnostic",
    "NativeError",
    "Reward",
    "RewardError",
    "Watch",
    "check_contract",
    "compile_reward",
    "native_terms",
    "read_native",
    "trial_states",
]
