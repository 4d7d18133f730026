"""`reelward check` and `reelward fields`: what a person or a program asks of the language."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reelward.jail import JailError, JailMissing, jailed, layers
from reelward.language.contract import check_contract
from reelward.language.errors import Diagnostic, RewardError
from reelward.language.reward import MAX_SOURCE, compile_reward
from reelward.sim.field import Field
from reelward.sim.robot import load_robot


def checked(source: str, fields: Sequence[Field], *, require_jail: bool = False) -> dict[str, Any]:
    """Compiles and tries `source` in the jail: its terms and what it reads, or its errors.

    Raises JailMissing when a whole jail is required and this system has none.
    """
    if len(source.encode(errors="replace")) > MAX_SOURCE:  # the compiler's own words, unjailed
        return check({"source": source[: MAX_SOURCE + 1], "fields": [asdict(f) for f in fields]})
    payload = {"source": source, "fields": [asdict(f) for f in fields]}
    try:
        return jailed(
            "reelward.language.commands:check", payload, timeout=30.0, require=require_jail
        )
    except JailMissing:
        raise
    except JailError as error:
        return _refused([Diagnostic("E_LIMIT", 0, 0, str(error), "write a shorter reward")])


def prepare() -> None:
    """Has torch load what it loads on first use, before the jail closes."""
    compile_reward(
        'def reward(s):\n    return {"a": (s.x * s.x).sum(dim=-1)}', [Field("x", (3,), "", "")]
    )


def check(payload: dict[str, Any]) -> dict[str, Any]:
    """What runs in the jail."""
    fields = [
        Field(f["name"], tuple(f["shape"]), f["unit"], f["meaning"], tuple(f["names"]))
        for f in payload["fields"]
    ]
    try:
        reward = compile_reward(payload["source"], fields)
    except RewardError as error:
        return _refused(error.errors)
    faults = check_contract(reward, fields)
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


def _refused(errors: Sequence[Diagnostic]) -> dict[str, Any]:
    return {"ok": False, "errors": [e.json() for e in errors]}


def cli_check(file: Path, robot: str, as_json: bool = False, require_jail: bool = False) -> int:
    """Prints the terms of the reward in `file` and gives 0, or prints its errors and gives 1.

    Raises OSError when the file cannot be read, RobotError when there is no such robot,
    JailMissing when a whole jail is required and this system has none.
    """
    with open(file, "rb") as opened:
        source = opened.read(MAX_SOURCE + 1).decode("utf-8", "replace")
    answer = checked(source, load_robot(robot).fields, require_jail=require_jail)
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
