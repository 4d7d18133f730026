"""The reward language: Python syntax, our own compiler, nothing of the text ever executed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "compiler": ("compile_reward",),
    "contract": ("check_contract", "trial_states"),
    "errors": ("Diagnostic", "RewardError"),
    "native": ("NativeError", "native_terms", "read_native"),
    "reward": ("Reward",),
    "watch": ("Watch",),
}


def __getattr__(name: str) -> Any:
    """Imported when it is first used, since torch takes a second and some modules need none of it."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"reelward.language.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
