"""The settings of a study: what a user chooses, checked, and where it is written in params.yaml."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

from ruamel.yaml.comments import CommentedMap

from reelward.records import ASK_A_MODEL, AuthorKind, CriticKind
from reelward.runtime.files import digest
from reelward.studies.git import StudyError, tracked
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
        robots = sorted(p.name for p in ROBOTS.iterdir() if p.is_dir())
        if choice.robot not in robots:
            raise StudyError(f"robot: expected one of {', '.join(robots)}, got {choice.robot}")
        values["robot"] = choice.robot
    if choice.seed is not None:
        if choice.seed < 0:
            raise StudyError(f"seed: expected a whole number at least 0, got {choice.seed}")
        values["seed"] = choice.seed
    if choice.task is not None:
        values["task"] = choice.task.replace("'", "\u2019")  # dvc.yaml puts it in single quotes
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


def _video(source: str) -> Values:
    """A video, uncut. A file is pinned by its digest; one that git does not track is named by its
    absolute path, since no other clone or worktree has it."""
    file = Path(source).expanduser()
    if "://" not in source and not source.startswith("pypi:") and not file.is_file():
        raise StudyError(f"video: expected a file, a link or pypi:NAME==VERSION/path, got {source}")
    sha256 = None
    if file.is_file():
        relative = os.path.relpath(file)
        source = relative if tracked(relative) else str(file.absolute())
        sha256 = digest(file)
    return {
        "fetch.source": source, "fetch.sha256": sha256, "fetch.start": 0.0, "fetch.end": None,
        "fetch.crop": None, "fetch.licence": None,
    }  # fmt: skip


def _model(role: str, name: str) -> str:
    """A model's name: neither empty nor a word that params.yaml uses for something else."""
    if not name.strip() or name in ("null", "None", *ASK_A_MODEL):
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
        before = loaded(params)
        if choice.robot in (None, before["robot"]):
            return Preset({})
        device = "gpu" if before["train"]["device"] == "cuda" else "cpu"
        name = f"{str(choice.robot).removesuffix('_fast')}-{device}"
        if name not in names and device == "cpu":
            return Preset({})
        if name not in names:
            raise StudyError(f"no preset {name}; name one of {', '.join(names)}: --preset")
    if name not in names:
        raise StudyError(f"preset: expected one of {', '.join(names)}, got {name}")
    content = loaded((PRESETS / f"{name}.yaml").read_text())
    reward = content.pop("reward", None)
    values: Values = {}
    for key, value in content.items():
        values |= _below(key, value) if isinstance(value, dict) else {key: value}
    return Preset(values, reward)


def _below(section: str, values: dict[str, Value]) -> Values:
    return {f"{section}.{key}": value for key, value in values.items()}


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
                raise StudyError(f"{PARAMS} has no {place}; add it, with its comment")
            node[key] = value

    return edited(params, replace)


def differing(params: str, choice: Choice) -> tuple[str, Value, Value] | None:
    """The first place in which a params.yaml differs from a choice, its value and the chosen one.
    How a video is cut and pinned does not count: the user may have edited it."""
    for place, value in chosen(choice).items():
        section, _, key = place.partition(".")
        if section == "fetch" and key != "source":
            continue
        content = loaded(params)
        current = content[section].get(key) if key else content[section]
        if place == "fetch.source" and current is not None:
            if os.path.abspath(current) == os.path.abspath(str(value)):
                continue
        if current != value:
            return place, current, value
    return None
