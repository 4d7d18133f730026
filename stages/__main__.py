"""Check params.yaml against the options of all stages, before any work.

reads   params.yaml     one section for each stage; robot, task, seed and native terms for all
        dvc.yaml        which options a stage gets from elsewhere
        loop.yaml       the ledger

writes  params.ok       always the same bytes, so that a change that passes reruns nothing by itself
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import Field

from reelward import measures
from reelward.checking import native_faults
from reelward.critics import person
from reelward.language import NativeError
from reelward.measures.fitness import FIELD, Fitness
from reelward.records import ASK_A_MODEL, MeasureKind
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError
from reelward.runtime.validation import is_plain, nearest, read_yaml, shortened, validate
from reelward.sim.mjcf import Robot
from reelward.sim.robot import AnyRobot, load_robot
from reelward.sim.schema import RobotError
from reelward.studies import ledger

SENTENCE = "a sentence without apostrophes and without a dash at its start"
COLUMN = "a field or a column of one, such as root_vel[0]"
LEDGER = Path("loop.yaml")
VIDEO = Path("data/expert/video.mp4")
MODEL = re.compile(r"[^\s'-][^']*")
"""the name of the critic's model, which dvc.yaml hands on in single quotes"""
FLOATS_OF_A_STEP = 40
"""at least what a training keeps of a step of one environment: observation, action, and its figures"""

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

    # dvc.yaml hands these on to a command line, the task in single quotes.
    robot: Annotated[str, Field(pattern=r"^\w[\w.-]*$", description="a folder in robots/")]
    task: Annotated[str, Field(pattern=r"^[^'-][^']*$", description=SENTENCE)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    native: Any


@dataclass(frozen=True)
class Measured:
    """The section `measure`, which several stages read."""

    kind: MeasureKind
    field: Annotated[str, Field(pattern=f"^{FIELD.pattern}$", description=COLUMN)] | None
    goal: float | None
    worst: float


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
            f"train.symmetric = true: expected false, {robot.name} is no planar robot with mirrored legs"
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


def training_complaints(train: dict[str, Any]) -> list[str]:
    """Sizes of a training that do not go together, or that no memory of this machine can hold."""
    names = ("num_envs", "num_steps", "num_minibatches")
    sizes = [n for k in names if isinstance(n := train.get(k), int) and n > 0]
    if len(sizes) < len(names):
        return []
    envs, steps, minibatches = sizes
    lines = []
    if envs * steps % minibatches:
        lines.append(
            f"num_minibatches = {minibatches}: expected a divisor of num_envs x num_steps = {envs * steps}"
        )
    needed = 4 * FLOATS_OF_A_STEP * envs * steps / 1e9
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    if needed > memory:
        lines.append(
            f"num_envs = {envs}: expected less, a candidate's steps need {needed:,.0f} GB and this "
            f"machine has {memory:.0f} GB; a preset has sizes that fit"
        )
    return lines


def rollout_complaints(params: dict[str, Any], robot: AnyRobot) -> list[str]:
    """An episode that is too short for the measure, whose closeness would always be 0."""
    seconds, kind = (
        section(params, "rollout").get("seconds"),
        section(params, "measure").get("kind"),
    )
    if kind != "gait" or not isinstance(seconds, int | float) or not seconds > 0:
        return []
    least = measures.load("gait").least_s
    if round(seconds / robot.dt) * robot.dt >= least - 1e-9:
        return []
    shortest = math.ceil(10 * least) / 10
    return [
        f"rollout.seconds = {seconds:g}: expected at least {shortest:g}, a gait is not measured in a "
        "shorter episode, and its closeness would always be 0"
    ]


def cut_complaints(fetch: dict[str, Any]) -> list[str]:
    """A section or a crop that no video can have."""
    lines = []
    start, end, crop = (fetch.get(k) for k in ("start", "end", "crop"))
    if isinstance(start, int | float) and isinstance(end, int | float) and not start < end:
        lines.append(f"end = {end:g}: expected more than start = {start:g}, or null")
    if isinstance(crop, list) and len(crop) == 4 and all(isinstance(n, int | float) for n in crop):
        x, y, width, height = crop
        inside = max(crop) > 1 or (x + width <= 1.001 and y + height <= 1.001)
        if min(x, y) < 0 or min(width, height) <= 0 or not inside:
            lines.append(
                f"crop = {shortened(crop)}: expected x, y, width and height of a part of the frame, as "
                "fractions of it or in pixels"
            )
    return lines


def text_complaints(content: Any, at: str = "") -> list[str]:
    """Texts and keys that are more than one line or have control characters."""
    if isinstance(content, str):
        text = f"{at} = {shortened(ascii(content))}: expected one line without control characters"
        return [] if is_plain(content) else [text]
    if isinstance(content, dict):
        parts = {f"{at}.{key}".strip("."): value for key, value in content.items()}
        broken = [f"{ascii(key)}: expected a plain key" for key in parts if not is_plain(key)]
        return broken or [line for key, v in parts.items() for line in text_complaints(v, key)]
    if isinstance(content, list):
        return [line for i, v in enumerate(content) for line in text_complaints(v, f"{at}[{i}]")]
    return []


def file_complaints(params: dict[str, Any], needs_video: bool) -> list[str]:
    """Files that the settings name and that are missing or cannot be read. `needs_video`: the video is
    not here yet."""
    lines = []
    critique = section(params, "critique")
    file = critique.get("file")
    if isinstance(file, str) and not Path(file).is_file():
        lines.append(
            f"critique.file = {shortened(file)}: expected a file, there is none; copy "
            "prompts/critiques.yaml to it"
        )
    elif isinstance(file, str) and critique.get("critic") == "person":
        lines += person.complaints(Path(file))
    source = section(params, "fetch").get("source")
    local = isinstance(source, str) and not re.match("pypi:|.*://", source)
    if local and needs_video and not Path(str(source)).is_file():
        lines.append(
            f"fetch.source = {shortened(source)}: expected a file, a link or "
            "pypi:NAME==VERSION/path, there is no such file"
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
        lines += rollout_complaints(params, robot)
        lines += native_faults(params.get("native") or {}, robot)
    except RobotError as e:
        reasons = str(e).splitlines() if "robot" in shared else []
        lines += [r if r.startswith("robot ") else f"robot: {r}" for r in reasons]
    except NativeError as e:
        lines.append(str(e))
    lines += [f"measure.{line}" for line in measure_complaints(section(params, "measure"), robot)]
    lines += video_complaints(params)
    lines += [f"train.{line}" for line in training_complaints(section(params, "train"))]
    lines += [f"fetch.{line}" for line in cut_complaints(section(params, "fetch"))]
    lines += text_complaints(params)
    for name, key in (("propose", "author"), ("critique", "critic")):
        kind, model = (section(params, name).get(k) for k in (key, "model"))
        if kind in ASK_A_MODEL and not model:
            lines.append(f"{name}.model is missing: {key} is {kind}, name its model")
        if kind not in ASK_A_MODEL and model:
            lines.append(f"{name}.model = {shortened(model)}: {key} is {kind}, expected null")
        if isinstance(model, str) and not MODEL.fullmatch(model):
            lines.append(
                f"{name}.model = {shortened(model)}: expected a model's name without apostrophes"
            )
    for name, content in params.items():
        if name in shared or name == "measure" or not isinstance(content, dict):
            continue
        if name not in STAGES:
            lines.append(f"{shortened(name)}: no stage of this name; {nearest(name, STAGES)}")
            continue
        Options = import_module(f"stages.{name}").Args
        lines += validate(Options, content, f"{name}.")
        elsewhere = re.findall(r"--([\w-]+)", commands.get(name, ""))
        given = {*content, *(option.replace("-", "_") for option in elsewhere)}
        missing = [k for k in get_type_hints(Options) if k not in given]
        lines += [f"{name}.{k} is missing" for k in missing if name in commands]
    return [where + line for line in lines]


def ledger_complaints(path: Path) -> list[str]:
    """What is wrong with the ledger, whose names reach a command line."""
    try:
        ledger.read(path.read_text())
    except (OSError, ledger.LedgerError) as e:
        return [str(e) if isinstance(e, ledger.LedgerError) else f"{path} is missing"]
    return []


def main(args: Args) -> None:
    params = read_yaml(args.params)
    pipeline = read_yaml(Path("dvc.yaml"))["stages"]
    commands = {name: s.get("do", s)["cmd"] for name, s in pipeline.items()}
    where = f"{args.params}: "
    lines = complaints(params, commands, where)
    here = file_complaints(params, needs_video=not VIDEO.exists())
    lines += [line if line.startswith("critiques") else where + line for line in here]
    if lines := lines + ledger_complaints(LEDGER):
        raise InputError("\n".join(lines))
    files.write_text(args.out, "ok\n")


if __name__ == "__main__":
    run_stage(main, Args)
