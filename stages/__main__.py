"""Check params.yaml against the options of all stages, before any work.

reads   params.yaml     one section for each stage; robot, task, seed and native terms for all
        dvc.yaml        which options a stage gets from elsewhere

writes  params.ok       always the same bytes, so that a change that passes reruns nothing by itself
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import Field

from reelward import measures
from reelward.checking import native_faults
from reelward.language import NativeError
from reelward.records import ASK_A_MODEL, MeasureKind
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError
from reelward.runtime.validation import nearest, read_yaml, validate
from reelward.sim.robot import AnyRobot, load_robot
from reelward.sim.schema import RobotError

STAGES = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))


@dataclass(frozen=True)
class Args:
    params: Path
    """The params.yaml to check."""
    out: Out
    """File to write when there is no complaint."""


@dataclass(frozen=True)
class Shared:
    """What stands at the top of params.yaml."""

    robot: str
    # dvc.yaml hands it on in single quotes
    task: Annotated[str, Field(pattern=r"^[^']+$", description="a sentence without apostrophes")]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    native: Any


@dataclass(frozen=True)
class Measured:
    """The section `measure`, which several stages read."""

    kind: MeasureKind
    field: str | None
    goal: Annotated[float, Field(gt=0)] | None


def measure_complaints(section: dict[str, Any], robot: AnyRobot | None) -> list[str]:
    """What is wrong with the section `measure` for this robot."""
    known = get_type_hints(Measured)
    if lines := [f"{k} is missing" for k in known if k not in section]:
        return lines
    if lines := validate(Measured, section):
        return lines
    try:
        fields = measures.load(**section).fields
    except InputError as e:
        return [str(e).removeprefix("measure.")]
    if robot is None:
        return []
    if section["kind"] == "gait" and not robot.feet:
        return [f"kind = gait: {robot.name} has no feet to measure a gait by; expected fitness"]
    names = [f.name for f in robot.fields]
    return [
        f"field: {robot.name} has no {f}; {nearest(f, names)}" for f in fields if f not in names
    ]


def video_complaints(params: dict[str, Any]) -> list[str]:
    """What cannot be without a video, where there is none."""
    fetch, measure, propose = (params.get(k) or {} for k in ("fetch", "measure", "propose"))
    if not isinstance(fetch, dict) or fetch.get("source", "") is not None:
        return []
    return [
        f"{key}: fetch.source is null, and this needs a video; expected {others}"
        for key, wrong, others in (
            ("measure.kind = gait", measure.get("kind") == "gait", "fitness"),
            ("propose.author = measured", propose.get("author") == "measured", "llm or fixed"),
        )
        if wrong
    ]


def complaints(params: dict[str, Any], commands: dict[str, str], where: str) -> list[str]:
    """One line for each thing wrong in `params`. `commands` holds each stage's command line."""
    known = get_type_hints(Shared)
    shared = {k: v for k, v in params.items() if k in known or not isinstance(v, dict)}
    lines = [f"{where}{k} is missing" for k in known if k not in shared]
    lines += validate(Shared, shared, where)
    robot = None
    try:
        robot = load_robot(str(shared.get("robot")))
        if (params.get("train") or {}).get("symmetric") and not robot.mirrors:
            why = (
                f"{where}train.symmetric = true: {robot.name} is no planar robot with mirrored legs"
            )
            lines.append(why + "; false here, or take its preset: reelward new NAME --robot")
        lines += [f"{where}{line}" for line in native_faults(params.get("native") or {}, robot)]
    except RobotError as e:
        lines += [f"{where}robot: {e}"] if "robot" in shared else []
    except NativeError as e:
        lines.append(f"{where}{e}")
    measure = params.get("measure")
    lines += [
        f"{where}measure.{line}"
        for line in measure_complaints(measure if isinstance(measure, dict) else {}, robot)
    ]
    lines += [f"{where}{line}" for line in video_complaints(params)]
    for name, key in (("propose", "author"), ("critique", "critic")):
        section = params.get(name)
        if isinstance(section, dict):
            kind, model = section.get(key), section.get("model")
            if kind in ASK_A_MODEL and not model:
                lines.append(f"{where}{name}.model is missing: {key} is {kind}, name its model")
            if kind not in ASK_A_MODEL and model:
                lines.append(f"{where}{name}.model = {model}: {key} is {kind}, expected null")
    for name, section in params.items():
        if name in shared or name == "measure":
            continue
        if isinstance(section, dict) and name not in STAGES:
            lines.append(f"{where}{name}: no stage of this name; {nearest(name, STAGES)}")
        elif isinstance(section, dict):
            hints = get_type_hints(import_module(f"stages.{name}").Args)
            given = re.findall(r"--([\w-]+)", commands.get(name, ""))
            given = [g.replace("-", "_") for g in given]
            lines += validate(import_module(f"stages.{name}").Args, section, f"{where}{name}.")
            missing = [k for k in hints if k not in section and k not in given]
            lines += [f"{where}{name}.{k} is missing" for k in missing if name in commands]
    return lines


def main(args: Args) -> None:
    params = read_yaml(args.params)
    pipeline = read_yaml(Path("dvc.yaml"))["stages"]
    commands = {name: s.get("do", s)["cmd"] for name, s in pipeline.items()}
    if lines := complaints(params, commands, f"{args.params}: "):
        raise InputError("\n".join(lines))
    files.write_text(args.out, "ok\n")


if __name__ == "__main__":
    run_stage(main, Args)
