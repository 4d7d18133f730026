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
from reelward.measures.fitness import Fitness
from reelward.records import ASK_A_MODEL, MeasureKind
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError
from reelward.runtime.validation import nearest, read_yaml, validate
from reelward.sim.mjcf import Robot
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


def measure_complaints(measure: dict[str, Any], robot: AnyRobot | None) -> list[str]:
    """What is wrong with the section `measure` for this robot."""
    known = get_type_hints(Measured)
    if lines := [f"{k} is missing" for k in known if k not in measure]:
        return lines
    if lines := validate(Measured, measure):
        return lines
    try:
        chosen = measures.load(**measure)
    except InputError as e:
        return [str(e).removeprefix("measure.")]
    if robot is None:
        return []
    if measure["kind"] == "gait" and not robot.feet:
        return [f"kind = gait: {robot.name} has no feet to measure a gait by; expected fitness"]
    shapes = {f.name: f.shape for f in robot.fields}
    lines = [
        f"field: {robot.name} has no {name}; {nearest(name, shapes)}"
        for name in chosen.fields
        if name not in shapes
    ]
    if not lines and isinstance(chosen, Fitness):
        misfits = (chosen.misfit(robot.name, shapes[name]) for name in chosen.fields)
        lines = [f"field: {misfit}" for misfit in misfits if misfit]
    return lines


def video_complaints(params: dict[str, Any]) -> list[str]:
    """Settings that need a video, where there is none."""
    if section(params, "fetch").get("source", "") is not None:
        return []
    return [
        f"{stage}.{key} = {value}: fetch.source is null, and this needs a video; expected {others}"
        for stage, key, value, others in (
            ("measure", "kind", "gait", "fitness"),
            ("propose", "author", "measured", "llm or fixed"),
            ("critique", "critic", "vlm", "measured or person"),
        )
        if section(params, stage).get(key) == value
    ]


def robot_complaints(params: dict[str, Any], robot: AnyRobot) -> list[str]:
    """Settings that this robot cannot have."""
    lines = []
    if section(params, "train").get("symmetric") and not robot.mirrors:
        lines.append(
            f"train.symmetric = true: {robot.name} is no planar robot with mirrored legs; false here, "
            "or take its preset: reelward new NAME --robot"
        )
    if section(params, "train").get("device") == "cuda":
        from reelward.sim.environment import no_gpu  # loads torch, which nothing else here needs

        lines += [f"train.device = cuda: {reason}"] if (reason := no_gpu(robot)) else []
    if section(params, "propose").get("author") == "measured" and not isinstance(robot, Robot):
        lines.append(
            f"propose.author = measured: {robot.name} has no MJCF, whose legs it aims; "
            "expected llm or fixed"
        )
    return lines


def section(params: dict[str, Any], name: str) -> dict[str, Any]:
    """A section of params.yaml, empty where it is none."""
    content = params.get(name)
    return content if isinstance(content, dict) else {}


def complaints(params: dict[str, Any], commands: dict[str, str], where: str) -> list[str]:
    """A line for each thing wrong in `params`, which begins with `where`. `commands` holds each stage's
    command line."""
    known = get_type_hints(Shared)
    shared = {k: v for k, v in params.items() if k in known or not isinstance(v, dict)}
    lines = [f"{k} is missing" for k in known if k not in shared]
    lines += validate(Shared, shared)
    robot = None
    try:
        robot = load_robot(str(shared.get("robot")))
        lines += robot_complaints(params, robot)
        lines += native_faults(params.get("native") or {}, robot)
    except RobotError as e:
        lines += [f"robot: {line}" for line in str(e).splitlines() if "robot" in shared]
    except NativeError as e:
        lines.append(str(e))
    lines += [f"measure.{line}" for line in measure_complaints(section(params, "measure"), robot)]
    lines += video_complaints(params)
    for name, key in (("propose", "author"), ("critique", "critic")):
        kind, model = (section(params, name).get(k) for k in (key, "model"))
        if kind in ASK_A_MODEL and not model:
            lines.append(f"{name}.model is missing: {key} is {kind}, name its model")
        if kind not in ASK_A_MODEL and model:
            lines.append(f"{name}.model = {model}: {key} is {kind}, expected null")
    for name, content in params.items():
        if name in shared or name == "measure" or not isinstance(content, dict):
            continue
        if name not in STAGES:
            lines.append(f"{name}: no stage of this name; {nearest(name, STAGES)}")
            continue
        Options = import_module(f"stages.{name}").Args
        lines += validate(Options, content, f"{name}.")
        elsewhere = re.findall(r"--([\w-]+)", commands.get(name, ""))
        given = {*content, *(option.replace("-", "_") for option in elsewhere)}
        missing = [k for k in get_type_hints(Options) if k not in given]
        lines += [f"{name}.{k} is missing" for k in missing if name in commands]
    return [where + line for line in lines]


def main(args: Args) -> None:
    params = read_yaml(args.params)
    pipeline = read_yaml(Path("dvc.yaml"))["stages"]
    commands = {name: s.get("do", s)["cmd"] for name, s in pipeline.items()}
    if lines := complaints(params, commands, f"{args.params}: "):
        raise InputError("\n".join(lines))
    files.write_text(args.out, "ok\n")


if __name__ == "__main__":
    run_stage(main, Args)
