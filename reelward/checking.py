"""`reelward check` and `reelward fields`: rewards tried in the jail, and the fields they may read.

Importing this module loads neither torch nor the compiler: the robot card needs neither, and a check
needs them in its jailed process alone.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from pydantic import TypeAdapter, ValidationError

from reelward.language.errors import Diagnostic, RewardError
from reelward.language.native import Settings, native_terms, read_native
from reelward.language.source import MAX_SOURCE
from reelward.runtime.jail import JailError, JailMissing, jailed, layers
from reelward.runtime.settings import setting
from reelward.runtime.words import counted, show
from reelward.sim.field import Field
from reelward.sim.gymnasium_robot import GymnasiumRobot
from reelward.sim.robot import AnyRobot, load_robot, robot_from
from reelward.sim.spaces import Discrete

if TYPE_CHECKING:
    from reelward.language.program import NativeTerm, State

STEPS = 40
"""of random actions, from which states are recorded: robots stumble and fall in them"""
TIMEOUT_S = 30.0
"""processor time of one jailed process"""


@dataclass(frozen=True)
class RewardCheck:
    """What the check of one reward gave: its errors, or where there is none what it is."""

    ok: bool
    digest: str = ""
    period: float | None = None
    """the gait clock's cycle, s"""
    terms: Mapping[str, int] = field(default_factory=dict)
    """term -> the line that computes it"""
    inputs: tuple[str, ...] = ()
    """the fields it reads"""
    nodes: int = 0
    """operations in its graph"""
    targets: Mapping[str, float] = field(default_factory=dict)
    """the numbers of its constant TARGET"""
    weights: Mapping[str, float] = field(default_factory=dict)
    """the numbers of its constant WEIGHT"""
    errors: tuple[Diagnostic, ...] = ()


class Payload(TypedDict):
    """What the jailed process is given, and what it adds before the jail closes."""

    sources: list[str]
    robot: Mapping[str, object]
    """contents of the robot's YAML, with name and folder"""
    native: Settings
    fields: NotRequired[Sequence[Field]]
    states: NotRequired[Sequence[State]]
    terms: NotRequired[Mapping[str, NativeTerm]]
    """the native terms"""


def checked(
    source: str, robot: AnyRobot, native: Settings | None = None, *, require_jail: bool = False
) -> RewardCheck:
    """Compiles and tries one reward in the jail; like `checked_all`."""
    return checked_all([source], robot, native, require_jail=require_jail)[0]


def checked_all(
    sources: Sequence[str], robot: AnyRobot, native: Settings | None = None,
    *, require_jail: bool = False,
) -> list[RewardCheck]:  # fmt: skip
    """Compiles and tries all `sources` in one jailed process; gives a result for each, in order.

    Where that process dies or runs out of time, each reward is tried in a process of its own, so one
    that misbehaves costs the others no result. `native` as in params.yaml. Raises JailMissing when a
    whole jail is required and this system has none, NativeError for a native term that cannot be used.
    """
    if not sources:
        return []
    if native:
        native_terms(native)
    require = require_jail or setting("require_jail", False)
    payload = Payload(
        sources=[s[: MAX_SOURCE + 1] for s in sources],  # enough to be refused as too long
        robot=robot.model_dump(mode="json", by_alias=True),
        native=native or {},
    )
    try:
        answers = jailed("reelward.checking:check", payload, timeout=TIMEOUT_S, require=require)
        return _results(answers, len(sources))
    except JailMissing:
        raise
    except JailError as error:
        if len(sources) > 1:
            return [checked(s, robot, native, require_jail=require) for s in sources]
        hint = "write a shorter reward" + ", or mend the native terms" * bool(native)
        return [RewardCheck(False, errors=(Diagnostic("E_LIMIT", 0, 0, str(error), hint),))]


def _results(answers: object, count: int) -> list[RewardCheck]:
    """The jail's answer as results. Raises JailError where it is none: a reward may have taken over the
    process."""
    try:
        results = TypeAdapter(list[RewardCheck]).validate_python(answers)
    except ValidationError:
        results = []
    if len(results) != count:
        raise JailError("the check gave an answer that makes no sense")
    return results


# -- in the jailed process


def prepare(payload: Payload) -> None:
    """Before the jail closes: loads what reads files, and adds recorded states to the payload."""
    from reelward.language.compiler import compile_reward
    from reelward.language.contract import trial_states

    robot = robot_from(payload["robot"])
    payload["fields"], payload["states"] = robot.fields, recorded_states(robot)
    compile_reward(  # so that torch loads what it loads on first use
        'def reward(s):\n    return {"a": (s.x * s.x).sum(dim=-1)}', [Field("x", (3,), "", "")]
    )
    payload["terms"] = native_terms(payload["native"])
    for term in payload["terms"].values():
        with contextlib.suppress(Exception):  # the contract test reports it
            term(trial_states(payload["fields"])["random"])


def check(payload: Payload) -> list[dict[str, object]]:
    """In the jail: the result of each of the sources, as JSON."""
    fields, states, native = payload["fields"], payload["states"], payload["terms"]
    return [asdict(tried(source, fields, states, native)) for source in payload["sources"]]


def tried(
    source: str, fields: Sequence[Field], states: Sequence[State], native: Mapping[str, NativeTerm]
) -> RewardCheck:
    """Compiles a reward and tries it on trial states and on `states`, in this process."""
    from reelward.language.compiler import compile_reward
    from reelward.language.contract import check_contract

    try:
        reward = compile_reward(source, fields, native=native)
        faults = check_contract(reward, fields, states)
    except RewardError as error:
        return RewardCheck(False, errors=tuple(error.errors))
    if faults:
        return RewardCheck(False, errors=tuple(faults))
    return RewardCheck(
        ok=True,
        digest=reward.digest,
        period=reward.period,
        terms=reward.lines,
        inputs=tuple(sorted(reward.inputs)),
        nodes=len(reward.nodes),
        targets=figures(reward.constants.get("TARGET")),
        weights=figures(reward.constants.get("WEIGHT")),
    )


def figures(constant: object) -> dict[str, float]:
    """The named numbers of a module constant; a model may have made it something else."""
    named = constant.items() if isinstance(constant, dict) else ()
    return {str(k): v for k, v in named if isinstance(v, int | float) and math.isfinite(v)}


def recorded_states(robot: AnyRobot) -> list[State]:
    """States of this robot in its simulator: at the start and after random actions."""
    import torch

    from reelward.sim.environment import make_env

    env = make_env(robot, 8, seed=0, period=1.0)
    generator = torch.Generator().manual_seed(0)
    recorded: list[State] = []
    for step in range(STEPS + 1):
        if step % (STEPS // 2) == 0:
            recorded.append({f.name: env.fields[f.name].clone() for f in robot.fields})
        if isinstance(env.action_space, Discrete):
            action = torch.randint(env.action_space.n, (env.n,), generator=generator)
        else:
            action = 2 * torch.rand(env.n, env.action_space.size, generator=generator) - 1
        terminated, truncated = env.step(action)
        if isinstance(robot, GymnasiumRobot):  # no step is defined after the end of its episodes
            env.reset(terminated | truncated)
    return recorded


def native_faults(named: Settings, robot: AnyRobot) -> list[str]:
    """What is wrong with the user's native terms, one line each: each is tried as a reward."""
    if not named:
        return []
    terms, states = native_terms(named), recorded_states(robot)
    faults = []
    for name, term in terms.items():
        text = f'def reward(s):\n    return {{"{name}": {name}(s)}}\n'
        result = tried(text, robot.fields, states, {name: term})
        faults += [f"native.{name}: {e.message}; {e.hint}" for e in result.errors]
    return faults


# -- on the command line


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
    result = checked(source, load_robot(robot), native, require_jail=require_jail)
    jail = [name for name, active in layers().items() if active]
    if as_json:
        show(json.dumps(_as_json(result) | {"jail": jail}, indent=1))
    elif result.ok:
        for name, line in result.terms.items():
            show(f"{name:20} [N]  line {line}")
        clock = f"period {result.period:g} s" if result.period else "no gait clock"
        show(
            f"{counted(len(result.terms), 'term')}, {counted(result.nodes, 'operation')}, {clock}; "
            f"reads {', '.join(result.inputs)}; jail: {', '.join(jail)}"
        )
    else:
        for e in result.errors:
            show(f"{file}:{e.line}:{e.col}: {e.code}: {e.message}")
            if e.hint:
                show(f"    fix: {e.hint}")
    return 0 if result.ok else 1


def _as_json(result: RewardCheck) -> dict[str, object]:
    if not result.ok:
        return {"ok": False, "errors": [asdict(e) for e in result.errors]}
    terms = [{"name": n, "shape": "[N]", "line": line} for n, line in result.terms.items()]
    parts = {k: getattr(result, k) for k in ("ok", "digest", "period", "inputs", "nodes")}
    return parts | {"terms": terms}


def cli_fields(robot: str, as_json: bool = False) -> int:
    """Prints the robot card: every field that a reward may read."""
    fields = load_robot(robot).fields
    show(json.dumps([asdict(f) for f in fields], indent=1) if as_json else robot_card(fields))
    return 0


def robot_card(fields: Sequence[Field]) -> str:
    """The fields as lines of text: how each is read, its shape, unit, meaning and columns."""
    lines = []
    for f in fields:
        shape = f"[{', '.join(['N', *map(str, f.shape)])}]"
        columns = f"; columns {', '.join(f.names)}" if f.names else ""
        lines.append(f"s.{f.name:13} {shape:10} {f.unit:7} {f.meaning}{columns}")
    return "\n".join(lines)
