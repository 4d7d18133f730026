"""`reelward check` and `reelward fields`: what a person or a program asks of the language."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reelward.language.compiler import compile_reward
from reelward.language.contract import check_contract, trial_states
from reelward.language.errors import Diagnostic, RewardError
from reelward.language.native import Settings, native_terms, read_native
from reelward.language.source import MAX_SOURCE
from reelward.runtime.jail import JailError, JailMissing, jailed, layers
from reelward.runtime.settings import setting
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.field import Field
from reelward.sim.robot import Robot, load_robot

STEPS = 40
"""of random actions, from which states are recorded: robots stumble and fall in them"""


def checked(
    source: str, robot: Robot, native: Settings | None = None, *, require_jail: bool = False
) -> dict[str, Any]:
    """Compiles and tries `source` in the jail: its terms and what it reads, or its errors.

    `native` as in params.yaml. Raises JailMissing when a whole jail is required and this system has
    none, NativeError for a native term that cannot be used.
    """
    native_terms(native or {})
    payload = {
        "source": source[: MAX_SOURCE + 1],  # enough for the compiler to say that it is too long
        "fields": [asdict(f) for f in robot.fields],
        "native": native or {},
        "states": recorded_states(robot),
    }
    try:
        return jailed(
            "reelward.checking:check",
            payload,
            timeout=30.0,
            require=require_jail or setting("require_jail", False),
        )
    except JailMissing:
        raise
    except JailError as error:
        hint = "write a shorter reward" + ", or mend the native terms" * bool(native)
        return _refused([Diagnostic("E_LIMIT", 0, 0, str(error), hint)])


def recorded_states(robot: Robot) -> list[dict[str, Any]]:
    """States of this robot in its simulator, as lists: at the start and after random actions."""
    env = Env(robot, CpuPhysics(robot, 8), seed=0, period=1.0)
    generator = torch.Generator().manual_seed(0)
    recorded = []
    for step in range(STEPS + 1):
        if step % (STEPS // 2) == 0:
            recorded.append({name: env.fields[name].tolist() for name in env.fields})
        env.step(2 * torch.rand(env.n, env.action_space.size, generator=generator) - 1)
    return recorded


def _fields(payload: dict[str, Any]) -> list[Field]:
    return [
        Field(f["name"], tuple(f["shape"]), f["unit"], f["meaning"], tuple(f["names"]))
        for f in payload["fields"]
    ]


def prepare(payload: dict[str, Any]) -> None:
    """Has torch and the native terms load what they load on first use, before the jail closes."""
    compile_reward(
        'def reward(s):\n    return {"a": (s.x * s.x).sum(dim=-1)}', [Field("x", (3,), "", "")]
    )
    for term in native_terms(payload["native"]).values():
        with contextlib.suppress(Exception):  # the contract test will tell
            term(trial_states(_fields(payload))["random"])


def check(payload: dict[str, Any]) -> dict[str, Any]:
    """What runs in the jail."""
    fields = _fields(payload)
    states = [{k: torch.tensor(v) for k, v in state.items()} for state in payload["states"]]
    try:
        reward = compile_reward(payload["source"], fields, native=native_terms(payload["native"]))
        faults = check_contract(reward, fields, states)
    except RewardError as error:
        return _refused(error.errors)
    if faults:
        return _refused(faults)
    return {
        "ok": True,
        "digest": reward.digest,
        "period": reward.period,
        "terms": [
            {"name": name, "shape": "[N]", "line": line} for name, line in reward.lines.items()
        ],
        "inputs": sorted(reward.inputs),
        "nodes": len(reward.nodes),
    }


def native_faults(named: Settings, robot: Robot) -> list[str]:
    """What is wrong with the user's native terms, a line each: each is tried as a reward."""
    found = []
    for name in native_terms(named):
        text = f'def reward(s):\n    return {{"{name}": {name}(s)}}\n'
        answer = check({
            "source": text, "fields": [asdict(f) for f in robot.fields],
            "native": {name: named[name]}, "states": recorded_states(robot),
        })  # fmt: skip
        found += [f"native.{name}: {e['message']}; {e['hint']}" for e in answer.get("errors", [])]
    return found


def _refused(errors: Sequence[Diagnostic]) -> dict[str, Any]:
    return {"ok": False, "errors": [e.json() for e in errors]}


def cli_check(
    file: Path,
    robot: str,
    as_json: bool = False,
    require_jail: bool = False,
    params: Path | None = None,
) -> int:
    """Prints the terms of the reward in `file` and gives 0, or prints its errors and gives 1.

    `params` names native terms; by default the params.yaml of the working directory, where there is
    one. Raises OSError or InputError when a file cannot be read, RobotError when there is no such
    robot, JailMissing when a whole jail is required and this system has none.
    """
    with open(file, "rb") as opened:
        source = opened.read(MAX_SOURCE + 1).decode("utf-8", "replace")
    here = Path("params.yaml")
    native = read_native(params or here) if params or here.exists() else {}
    answer = checked(source, load_robot(robot), native, require_jail=require_jail)
    answer |= {"jail": [name for name, active in layers().items() if active]}
    if as_json:
        print(json.dumps(answer, indent=1))
    elif answer["ok"]:
        for term in answer["terms"]:
            print(f"{term['name']:20} {term['shape']}  line {term['line']}")
        clock = f"period {answer['period']:g} s" if answer["period"] else "no gait clock"
        print(
            f"{len(answer['terms'])} terms, {answer['nodes']} operations, {clock}; "
            f"reads {', '.join(answer['inputs'])}; jail: {', '.join(answer['jail'])}"
        )
    else:
        for error in answer["errors"]:
            print(
                f"{file}:{error['line']}:{error['col']}: {error['code']}: {error['message']}"
                + (f"\n    fix: {error['hint']}" if error["hint"] else "")
            )
    return 0 if answer["ok"] else 1


def cli_fields(robot: str, as_json: bool = False) -> int:
    """Prints the robot card: every field that a reward may read."""
    fields = load_robot(robot).fields
    print(json.dumps([asdict(f) for f in fields], indent=1) if as_json else robot_card(fields))
    return 0


def robot_card(fields: Sequence[Field]) -> str:
    """The fields as lines of text: how each is read, its shape, unit, meaning and columns."""
    lines = []
    for f in fields:
        shape = f"[{', '.join(['N', *map(str, f.shape)])}]"
        columns = f"; columns {', '.join(f.names)}" if f.names else ""
        lines.append(f"s.{f.name:13} {shape:10} {f.unit:7} {f.meaning}{columns}")
    return "\n".join(lines)
