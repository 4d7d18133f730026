"""How long one call of a reward takes: the compiled graph, and the same text as plain torch.

python bench/reward.py     prints a table, writes bench/results/reward.json
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from language_direct import Columns, State, library  # noqa: E402

from reelward.language import compile_reward, trial_states  # noqa: E402
from reelward.sim.robot import load_robot  # noqa: E402

REWARDS = Path(__file__).parents[1] / "tests" / "rewards"
SIZES = (64, 1024, 4096, 16384)


def batch(fields: Any, n: int) -> dict[str, torch.Tensor]:
    state = trial_states(fields)["random"]
    return {
        k: v.repeat(-(-n // len(v)), *[1] * (v.ndim - 1))[:n].contiguous() for k, v in state.items()
    }


def plain(source: str, fields: Any, state: dict[str, torch.Tensor]) -> Callable[[], Any]:
    """The text executed as Python on plain tensors."""
    names = dict(library())
    exec(compile(source, "reward", "exec"), names)
    s = State(**state)
    for f in fields:
        if f.names:
            named = state[f.name].as_subclass(Columns)
            named.columns = f.names
            setattr(s, f.name, named if '"' in source else state[f.name])
    return lambda: names["reward"](s)


def alternating(calls: dict[str, Callable[[], Any]], rounds: int = 40) -> dict[str, float]:
    """Median processor time of each call in µs. The calls take turns, so that other load on the machine
    affects all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 5):
        for name, call in calls.items():
            start = time.thread_time()
            for _ in range(5):
                call()
            if i >= 5:
                times[name].append((time.thread_time() - start) / 5 * 1e6)
    return {name: statistics.median(t) for name, t in times.items()}


def main() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    fields = load_robot("biped").fields
    rows = []
    for name in ("eureka_temperatures", "legged_gym_terms", "measured_author"):
        source = (REWARDS / f"{name}.py").read_text()
        reward = compile_reward(source, fields)
        for n in SIZES:
            state = batch(fields, n)
            calls: dict[str, Callable[[], Any]] = {
                "eager": plain(source, fields, state),
                "graph": lambda r=reward, s=state: r(s),
            }
            times = alternating(calls)
            row = {
                "reward": name,
                "operations": len(reward.nodes),
                "envs": n,
                **{f"{k}_us": round(v, 1) for k, v in times.items()},
                "speedup": round(times["eager"] / times["graph"], 2),
            }
            rows.append(row)
            print(json.dumps(row))
    result = {"threads": 1, "torch": torch.__version__, "rows": rows}
    path = Path(__file__).parent / "results" / "reward.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
