"""The settings of a study: what a user chooses, checked, and where it is written in params.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

from ruamel.yaml import YAMLError
from ruamel.yaml.comments import CommentedMap

from reelward.records import ASK_A_MODEL, AuthorKind, CriticKind
from reelward.runtime.files import digest
from reelward.runtime.validation import is_plain, nearest, read_yaml, shortened
from reelward.studies.git import StudyError
from reelward.studies.yaml_text import edited, loaded

PARAMS = Path("params.yaml")
PRESETS = Path("presets")
ROBOTS = Path("robots")
CRITIQUES = "critiques.yaml"
"""what a person writes who is the critic"""

AUTHORS, CRITICS = (
    tuple(kind for kind in get_args(kinds) if kind not in ASK_A_MODEL)
    for kinds in (AuthorKind, CriticKind)
)
"""Those that ask no model. Any other name is a model's."""

Value = str | int | float | bool | list[float] | None
Values = dict[str, Value]
"""Place in params.yaml -> value, e.g. `train.gamma`."""


@dataclass(frozen=True)
class Choice:
    """What a user chooses of a study. None leaves it as it is."""

    preset: str | None = None
    """presets/NAME.yaml"""
    robot: str | None = None
    """robots/NAME"""
    video: str | None = None
    """a file, a link, a page of a video site, or pypi:NAME==VERSION/path"""
    task: str | None = None
    """a sentence"""
    seed: int | None = None
    author: str | None = None
    """a model's name on its server, `measured`, or `fixed`: the reward as it stands"""
    critic: str | None = None
    """a model's name on its server, `measured`, or `person`: the user"""


def chosen(choice: Choice) -> Values:
    """The values that a choice sets, its preset aside. Raises StudyError."""
    values: Values = {}
    if choice.robot is not None:
        robots = sorted(p.parent.name for p in ROBOTS.glob("*/robot.yaml"))
        if choice.robot not in robots:
            raise unknown("robot", choice.robot, robots)
        values["robot"] = choice.robot
    if choice.seed is not None:
        if not 0 <= choice.seed < 2**32:
            raise StudyError(
                f"seed: expected a whole number at least 0 and below {2**32}, got {choice.seed}"
            )
        values["seed"] = choice.seed
    if choice.task is not None:
        task = _plain("task", choice.task, "a sentence on one line")
        values["task"] = task.replace("'", "\u2019")  # dvc.yaml puts it in single quotes
    if choice.video is not None:
        values |= _video(choice.video)
    if choice.author is not None:
        model = None if choice.author in AUTHORS else _model("author", choice.author)
        values["propose.author"] = "llm" if model else choice.author
        values["propose.model"] = model
    if choice.critic is not None:
        model = None if choice.critic in CRITICS else _model("critic", choice.critic)
        values["critique.critic"] = "vlm" if model else choice.critic
        values["critique.model"] = model
        if choice.critic == "person":
            values["critique.file"] = CRITIQUES
    return values


def unknown(what: str, value: str, known: Sequence[str]) -> StudyError:
    """The error for a name that is none of `known`."""
    near = nearest(value, known, "")
    text = f"{what}: expected one of {', '.join(known)}, got {shortened(value)}"
    return StudyError(text + f"; {near}" * bool(near))


def _plain(what: str, text: str, expected: str) -> str:
    """A text for params.yaml, from where it reaches a command line."""
    if not text.strip() or text.startswith("-") or not is_plain(text):
        raise StudyError(f"{what}: expected {expected}, got {text!r}")
    return text


def _video(source: str) -> Values:
    """A video, uncut. A file is pinned by its digest, and named relative to the clone where it lies
    inside."""
    file = Path(_plain("video", source, "a name without control characters")).expanduser()
    if "://" not in source and not source.startswith("pypi:") and not file.is_file():
        what = "a folder" if file.is_dir() else source
        raise StudyError(f"video: expected a file, a link or pypi:NAME==VERSION/path, got {what}")
    sha256 = None
    if file.is_file():
        inside = file.absolute().is_relative_to(Path.cwd())
        source = os.path.relpath(file) if inside else str(file)
        sha256 = digest(file)
    return {
        "fetch.source": source, "fetch.sha256": sha256, "fetch.start": 0.0, "fetch.end": None,
        "fetch.crop": None, "fetch.licence": None,
    }  # fmt: skip


def _model(role: str, name: str) -> str:
    """A model's name: neither empty nor a word that params.yaml uses for something else."""
    plain = is_plain(name) and re.fullmatch(
        r"[^\s'-][^']*", name
    )  # dvc.yaml puts it in single quotes
    if not plain or name in ("null", "None", *ASK_A_MODEL):
        others = " or ".join(CRITICS if role == "critic" else AUTHORS)
        raise StudyError(
            f"{role}: expected a model's name on its server, or {others}, got {name!r}"
        )
    return name


class Preset(NamedTuple):
    """Settings that go together, and the reward that a study of them starts from."""

    values: Values
    reward: str | None = None
    """Text of a reward file; None: the one that is there."""


def preset(choice: Choice, params: str) -> Preset:
    """The preset that is chosen. Without a choice, another robot than that of `params` brings its own
    preset, if it has one, for the device of `params`. Raises StudyError."""
    names = sorted(p.stem for p in PRESETS.glob("*.yaml"))
    name = choice.preset
    if name is None:
        before = read(params)
        if choice.robot in (None, value_at(before, "robot")):
            return Preset({})
        device = "gpu" if value_at(before, "train.device") == "cuda" else "cpu"
        name = f"{str(choice.robot).removesuffix('_fast')}-{device}"
        if name not in names and device == "cpu":
            return Preset(_fitting(str(choice.robot)))
        if name not in names:
            raise StudyError(f"no preset {name}; name one of {', '.join(names)}: --preset")
    if name not in names:
        raise unknown("preset", name, names)
    content = read_yaml(PRESETS / f"{name}.yaml")
    reward = content.pop("reward", None)
    values: Values = {}
    for key, value in content.items():
        values |= _below(key, value) if isinstance(value, dict) else {key: value}
    return Preset(values, reward)


def _fitting(robot: str) -> Values:
    """The settings that a robot without a preset cannot share with the robot before it."""
    from reelward.sim.robot import load_robot  # loads MuJoCo

    return {} if load_robot(robot).mirrors else {"train.symmetric": False}


def _below(section: str, values: dict[str, Value]) -> Values:
    return {f"{section}.{key}": value for key, value in values.items()}


def read(params: str) -> dict[str, Any]:
    """The content of a params.yaml. Raises StudyError."""
    try:
        content = loaded(params)
    except YAMLError as e:
        raise StudyError(f"{PARAMS} is no YAML: {' '.join(str(e).split())}") from None
    if not isinstance(content, dict):
        raise StudyError(f"{PARAMS}: expected keys and values, got {shortened(content)}")
    return content


def value_at(content: Any, place: str) -> Any:
    """The value at a place such as `train.device`. Raises StudyError."""
    for key in place.split("."):
        if not isinstance(content, dict) or key not in content:
            raise StudyError(f"{PARAMS} has no {place}; add it")
        content = content[key]
    return content


def completed(params: str, newer: str) -> str:
    """`params`, the text of an older params.yaml, with the settings that only `newer` has."""
    content, added = read(params), read(newer)
    missing = [p for p in _places(added) if p not in set(_places(content))]
    missing = [p for p in missing if p.partition(".")[0] not in content or "." in p]

    def add(root: CommentedMap) -> None:
        for place in missing:
            section, _, key = place.rpartition(".")
            node = root.setdefault(section, CommentedMap()) if section else root
            if isinstance(node, dict):
                node[key] = value_at(added, place)

    return edited(params, add) if missing else params


def _places(content: Any) -> Iterator[str]:
    for key, value in content.items():
        yield from ((f"{key}.{k}" for k in value) if isinstance(value, dict) else (str(key),))


def applied(params: str, values: Values) -> str:
    """The text of a params.yaml with some values replaced and every comment kept. Raises StudyError
    for a place that it does not have."""

    def replace(root: CommentedMap) -> None:
        for place, value in values.items():
            *sections, key = place.split(".")
            node: Any = root
            for section in sections:
                node = node.get(section) or {}
            if key not in node:
                cure = nearest(place, _places(root), "add it, with its comment")
                raise StudyError(f"{PARAMS} has no {place}; {cure}")
            node[key] = value

    read(params)
    return edited(params, replace)


def differing(params: str, choice: Choice) -> tuple[str, Value, Value] | None:
    """The first place in which a params.yaml differs from a choice, its value and the chosen one.
    How a video is cut and pinned does not count: the user may have edited it."""
    for place, value in chosen(choice).items():
        section, _, key = place.partition(".")
        if section == "fetch" and key != "source":
            continue
        content = read(params)
        current = value_at(content, section)
        current = current.get(key) if key else current
        if place == "fetch.source" and current is not None:
            if os.path.abspath(current) == os.path.abspath(str(value)):
                continue
        if current != value:
            return place, current, value
    return None
