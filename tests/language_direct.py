"""Runs honest reward texts as the Python they look like, one environment at a time: the oracle.

This executes text and so only ever sees the tests' own, in the jail.
"""

from __future__ import annotations

import functools
import inspect
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reelward.language.contract import trial_states
from reelward.sim.field import Field
from reelward.sim.robot import load_robot

STDLIB = Path(__file__).parents[1] / "reelward" / "language" / "stdlib"
COUNT = 4


def states(robot: str) -> dict[str, torch.Tensor]:
    """The state on which graph and oracle are compared."""
    state = trial_states(fields(robot), seed=5)["random"]
    return {name: value[:COUNT] for name, value in state.items()}


@functools.cache
def fields(robot: str) -> tuple[Field, ...]:
    return load_robot(robot).fields


class Columns(torch.Tensor):
    """A tensor whose columns have names, as the language reads them."""

    columns: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self.columns

    def __getitem__(self, key: Any) -> Any:
        keys = list(key) if isinstance(key, tuple) else [key]
        if isinstance(keys[0], str) or isinstance(keys[0], list) and isinstance(keys[0][0], str):
            keys = [slice(None), *keys]
        number = self.columns.index
        keys = [
            number(k)
            if isinstance(k, str)
            else [number(i) for i in k]
            if isinstance(k, list) and isinstance(k[0], str)
            else k
            for k in keys
        ]
        return self.as_subclass(torch.Tensor)[tuple(keys)]


class State(types.SimpleNamespace):
    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)


def one(state: dict[str, torch.Tensor], i: int, robot: str, numpy: bool) -> State:
    values: dict[str, Any] = {}
    for field in fields(robot):
        x = state[field.name][i : i + 1].clone()
        if numpy:
            values[field.name] = x.numpy()
        else:
            values[field.name] = x.as_subclass(Columns)
            values[field.name].columns = field.names
    return State(**values)


@functools.cache
def library() -> dict[str, Any]:
    """The standard library, executed as Python."""
    names: dict[str, Any] = {"torch": torch, "np": np}
    for file in sorted(STDLIB.glob("*.py")):
        exec(compile(file.read_text(), str(file), "exec"), names)
    return names


def called(names: dict[str, Any], state: State) -> dict[str, Any]:
    """The terms that the reward of the text returns, in either of its forms."""
    function = names.get("reward") or names["compute_reward"]
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    args = [state[p.name] if p.name in state else state for p in needed]
    result = function(*args)
    return result[1] if isinstance(result, tuple) else result


def run(source: str, state: dict[str, torch.Tensor], robot: str) -> dict[str, list[float]]:
    names = dict(library())
    source = source.replace("@torch.jit.script\n", "")  # would need a file
    exec(compile(source, "reward", "exec"), names)
    numpy = "import numpy" in source
    rows: dict[str, list[float]] = {}
    for i in range(COUNT):
        with torch.no_grad(), np.errstate(all="ignore"):
            terms = called(names, one(state, i, robot, numpy))
        for name, value in terms.items():
            number = float(np.asarray(value, dtype=np.float64).reshape(-1)[0])
            rows.setdefault(name, []).append(number if np.isfinite(number) else 1e300)
    return rows


def prepare(requests: list[dict[str, str]]) -> None:
    """What the jail does not let be read."""
    library()
    for robot in {r["robot"] for r in requests}:
        states(robot)


def answers(requests: list[dict[str, str]]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for request in requests:
        try:
            state = states(request["robot"])
            results.append(run(request["source"], state, request["robot"]))
        except Exception as error:
            results.append({"error": f"{type(error).__name__}: {error}"})
    return results
