"""The contract of a reward, tried on states: what shapes and types cannot show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from reelward.language.errors import Diagnostic, RewardError
from reelward.language.graph import ALL_DTYPES
from reelward.language.main import DICT_ALONE
from reelward.language.program import State
from reelward.language.reward import Reward
from reelward.sim.field import Field

BOUND = 1e4
"""the largest size of a term on plausible states"""


def trial_states(fields: Sequence[Field], seed: int = 0) -> dict[str, dict[str, torch.Tensor]]:
    """Plausible random states, the same enlarged and shrunk, all zero, and a single environment."""
    generator = torch.Generator().manual_seed(seed)

    def field(f: Field, n: int, scale: float) -> torch.Tensor:
        if f.dtype == "uint8":
            size = (n, *f.shape)
            return torch.randint(256, size, generator=generator, dtype=torch.uint8)
        x = torch.randn(n, *f.shape, generator=generator)
        if f.name == "up":
            return torch.nn.functional.normalize(x, dim=-1)
        if f.name == "phase":
            return torch.rand(n, generator=generator)
        if f.unit == "0 or 1":
            return (x > 0).float()
        if f.name in ("action", "prev_action"):
            return x.clamp(-1.0, 1.0)
        return (x.abs() if f.unit in ("s", "N", "W") else x) * scale

    sizes = {"random": (64, 1.0), "large": (64, 30.0), "small": (64, 1e-6), "single": (1, 1.0)}
    states = {
        name: {f.name: field(f, n, scale) for f in fields} for name, (n, scale) in sizes.items()
    }
    return states | {
        "zero": {f.name: torch.zeros(4, *f.shape, dtype=ALL_DTYPES[f.dtype]) for f in fields}
    }


def check_contract(
    reward: Reward, fields: Sequence[Field], states: Iterable[State] | None = None
) -> list[Diagnostic]:
    """The faults of `reward` on trial states and on recorded `states`; empty where it has none.

    Every term must be float32 [N]; finite; at most `BOUND` on plausible states; the same when it is
    computed again; the same for an environment whatever the others are. The state must stay unchanged.
    """
    trials: dict[str, State] = dict(trial_states(fields))
    trials |= {f"recorded {i}": state for i, state in enumerate(states or ())}
    diagnostics: dict[tuple[str, str], Diagnostic] = {}
    for name, state in trials.items():
        try:
            faults = list(_faults(reward, name, state))
        except RewardError:
            raise
        except Exception as error:
            why = str(error).partition("\n")[0][:200]
            message = f"the reward cannot be computed on {name} states: {why}"
            hint = "guard it: turn whole numbers into floats, clamp a divisor away from 0"
            diagnostics.setdefault(("", hint), Diagnostic("E_CONTRACT", 0, 0, message, hint))
            continue
        if name == "random":
            faults += _doubled(reward, state)
        for term, message, hint in faults:
            line = reward.lines.get(term, 0)
            diagnostics.setdefault(
                (term, hint),
                Diagnostic(
                    "E_CONTRACT", line, 0, f"term {term!r} {message} on {name} states", hint
                ),
            )
    return list(diagnostics.values())


def _doubled(reward: Reward, state: State) -> Iterable[tuple[str, str, str]]:
    """A term that is the sum of all others, and a total that is not the sum of the terms."""
    terms = reward(state)
    parts = torch.stack(list(terms.values())).sum(dim=0)
    for term, x in terms.items():
        if len(terms) > 2 and x.std() > 0 and torch.allclose(2 * x, parts, rtol=1e-4, atol=1e-5):
            yield (
                term,
                "is the sum of all others",
                "leave it out: the total is formed from the terms",
            )
    total = reward.stated_total(state)
    if total is not None and not torch.allclose(total, parts, rtol=1e-3, atol=1e-3):
        message = f"and the others do not add up to the total, by {float((total - parts).abs().max()):.3g}"
        yield reward.terms[0], message, DICT_ALONE


def _faults(reward: Reward, name: str, state: State) -> Iterable[tuple[str, str, str]]:
    before = {k: v.clone() for k, v in state.items()}
    n = len(next(iter(state.values())))
    order = torch.arange(n - 1, -1, -1)
    some = order[: (n + 1) // 2]
    terms, again = reward(state), reward(state)
    picked = {
        "in another order": (order, reward({k: v[order] for k, v in state.items()})),
        "among fewer": (some, reward({k: v[some] for k, v in state.items()})),
    }
    memory = {v.data_ptr() for v in state.values()}
    for term, x in terms.items():
        if x.shape != (n,) or x.dtype != torch.float32:
            yield term, f"is {tuple(x.shape)} {x.dtype}", "a term is float32 [N]"
        elif not bool(torch.isfinite(x).all()):
            yield (
                term,
                "is not finite",
                ("guard divisions, roots and logarithms: x / (y + 1e-6), torch.clamp(x, min=1e-6)"),
            )
        elif name != "large" and float(x.abs().max()) > BOUND:
            yield (
                term,
                f"reaches {float(x.abs().max()):.3g}",
                (f"keep it within {BOUND:g}: clamp it or use a kernel"),
            )
        elif not torch.equal(x, again[term]):
            yield term, "differs when computed again", "a reward is the same for the same state"
        elif x.data_ptr() in memory or x.requires_grad:
            yield term, "is the state's own memory", "return a new tensor"
        for how, (index, other) in picked.items():
            if not torch.allclose(x[index], other[term], rtol=1e-4, atol=1e-5, equal_nan=True):
                yield (
                    term,
                    f"changes with the environments {how}",
                    ("an environment's reward depends on its own state alone"),
                )
    if any(not torch.equal(state[k], v) for k, v in before.items()):
        yield next(iter(terms)), "writes into the state", "work on new tensors"
