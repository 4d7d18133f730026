"""A study: one question, on a branch `study/NAME` of its own. What git does for it.

Commits take a known list of paths and nothing else. Where git knows no identity, one is supplied
for these commits alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import yaml

from reelward.records import ASK_A_MODEL, AuthorKind, CriticKind
from reelward.runtime.files import digest, write_text
from reelward.studies import ledger

KEPT = ("params.yaml", "loop.yaml", "rewards")
WORDS = "critiques.yaml"
"""what a person says who is the critic; begun from the example that explains it"""
BEST = "rewards/best.py"
RESULTS = (
    "dvc.lock", "metrics.json", BEST, "rewards/history.csv", "rewards/iter-*", WORDS,
)  # fmt: skip
PARAMS = Path("params.yaml")
LEDGER = Path("loop.yaml")
SEED = Path("rewards/seed/selected.py")
PRESETS = Path("presets")
MAIN = "main"
"""branch without results, from which a study begins that is made while another one is checked out"""
EXAMPLE = Path("prompts/critiques.yaml")


AUTHORS, CRITICS = (
    tuple(kind for kind in get_args(kinds) if kind not in ASK_A_MODEL)
    for kinds in (AuthorKind, CriticKind)
)
"""Those that ask no model; any other name is a model's."""


class StudyError(ValueError):
    """A study that cannot be made or entered."""


def git(*args: str, env: dict[str, str] | None = None) -> str:
    """What git says. Raises StudyError with its complaint in one line."""
    done = subprocess.run(
        ("git", *args), capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        complaint = " ".join((done.stderr or done.stdout).split())
        raise StudyError(f"git {args[0]}: {complaint}")
    return done.stdout


def current() -> str:
    """The study whose branch is checked out. Raises StudyError when there is none."""
    branch = git("branch", "--show-current").strip()
    if not branch.startswith("study/"):
        raise StudyError(
            f"expected a branch study/NAME, got {branch or 'no branch'}; "
            "make one: reelward new NAME, or enter one: git switch study/NAME"
        )
    return branch.removeprefix("study/")


def branch(name: str) -> str:
    """Full name of a study's branch, here or else at a remote; empty where there is none."""
    places = (f"refs/heads/study/{name}", f"refs/remotes/*/study/{name}")
    return git("for-each-ref", "--format=%(refname)", *places).partition("\n")[0]


def enter(name: str) -> None:
    """Check out a study and the files that DVC keeps for it."""
    there = branch(name)
    if not there:
        raise StudyError(f"no study {name}; make it: reelward new {name}")
    left = git("branch", "--show-current").strip()
    if left == f"study/{name}":
        return
    if there.startswith("refs/remotes/"):
        git("branch", "--quiet", f"study/{name}", there.removeprefix("refs/remotes/"))
    git("switch", "--quiet", f"study/{name}")
    _leave(*ledger.parents(LEDGER.read_text()))
    dvc = (sys.executable, "-m", "dvc", "checkout", "--quiet", "--force", "--allow-missing")
    subprocess.run(dvc)
    if left and not left.startswith("study/") and git("rev-list", "-1", left, "--not", "HEAD"):
        print(f"{left} has commits that study/{name} has not; git merge {left} brings them")


def new(
    name: str, source: str | None = None, preset: str | None = None, **settings: str | None
) -> None:
    """Make the branch of a study: its settings, a ledger of one iteration, the reward it starts
    from, and no results. It begins from where we are, or from `main` where that is another study;
    the settings are params.yaml's there, or those of the study `source`, whose best reward it then
    starts from; those of `preset` replace theirs, and `robot`, `task`, `video`, `seed`, `author` and
    `critic` those. Another robot brings its preset for the same kind of device where none is named.
    Author and critic are models by their names; `measured` is none, and the critic may be a
    `person`.
    Raises StudyError before anything is changed."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*(?<!\.lock)(?<!\.)", name):
        raise StudyError(f"expected a name of a-z, 0-9, -, _ and dots, got {name!r}")
    if branch(name):
        raise StudyError(f"study {name} exists; enter it: git switch study/{name}")
    if changed(*RESULTS):
        raise StudyError("results here are not committed; commit them first: git status")
    left = git("branch", "--show-current").strip()
    elsewhere = left.startswith("study/")
    if (source or elsewhere) and changed(*KEPT):
        raise StudyError("settings here are not committed; commit them first: git status")
    if elsewhere:
        git("switch", "--quiet", MAIN)
    try:
        params, reward = _begun(source)
        given = validated(**settings)
        params = _set(params, {**_preset(preset, settings.get("robot"), params), **given})
    except BaseException:
        if elsewhere:
            git("switch", "--quiet", left)
        raise

    git("switch", "--quiet", "--create", f"study/{name}")
    git("rm", "-r", "--quiet", "--ignore-unmatch", "--", *RESULTS)
    _leave()
    write_text(PARAMS, params)
    write_text(LEDGER, ledger.FIRST)
    write_text(SEED, reward)
    if yaml.safe_load(params)["critique"]["file"] == WORDS:
        write_text(Path(WORDS), EXAMPLE.read_text())
    commit((*KEPT, *RESULTS), f"Begin study {name}", always=True)


def _begun(source: str | None) -> tuple[str, str]:
    """Settings and reward to begin from: those here, or those of a study."""
    if source is None:
        return PARAMS.read_text(), SEED.read_text()
    theirs = branch(source)
    if not theirs:
        raise StudyError(f"no study {source}; those there are: git branch --all --list '*study/*'")
    best = git("ls-tree", "--name-only", theirs, "--", BEST).strip() or SEED
    return git("show", f"{theirs}:{PARAMS}"), git("show", f"{theirs}:{best}")


def hold(**settings: str | None) -> None:
    """Hold the settings of the study that is checked out against these. Raises StudyError where
    they differ."""
    mine: Any = yaml.safe_load(PARAMS.read_text())
    for place, value in validated(**settings).items():
        if place[0] == "fetch" and place[1] != "source":
            continue  # how a video is cut and pinned may have been said since
        found = mine[place[0]] if len(place) == 1 else mine[place[0]].get(place[1])
        if place == ("fetch", "source") and os.path.abspath(found) == os.path.abspath(value):
            continue
        if found != value:
            raise StudyError(
                f"{'.'.join(place)}: study {current()} has {found}, asked for was {value}; "
                "leave it out, or make another study"
            )


def changed(*paths: str) -> bool:
    """Whether anything in `paths` differs from the last commit."""
    return bool(git("status", "--porcelain", "--", *paths))


def extend(to: int | None = None) -> dict[str, str]:
    """Append iterations to the ledger until there are `to`, by default one more -> all of them
    with their parents."""
    text = LEDGER.read_text()
    to = len(ledger.parents(text)) + 1 if to is None else to
    longer = ledger.extended(text, to)
    if longer != text:
        write_text(LEDGER, longer)
    return ledger.parents(longer)


def commit(paths: Iterable[str], message: str, always: bool = False) -> bool:
    """Commit what changed in `paths`, and say whether anything did."""
    paths = tuple(paths)
    if there := [p for p in paths if Path(p).exists()]:
        git("add", "--", *there)
    names = git("diff", "--cached", "--name-only", "-z", "--", *paths).split("\0")[:-1]
    if not names and not always:
        return False
    only = ("--", *names) if names else ("--allow-empty", "--only")
    git("commit", "--quiet", "--message", message, *only, env=_identity())
    return True


def _identity() -> dict[str, str]:
    try:
        git("var", "GIT_AUTHOR_IDENT")
        git("var", "GIT_COMMITTER_IDENT")
        return {}
    except StudyError:
        who = {"NAME": "reelward", "EMAIL": "reelward@localhost"}
        return {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}


def _leave(*kept: str) -> None:
    """Drop the files of the study left behind, all but those of the iterations `kept`. What was
    finished is in DVC's cache."""
    for folder in (*Path("data/iterations").glob("iter-*"), Path("data/best"), Path("report")):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _preset(name: str | None, robot: str | None, params: str) -> dict[tuple[str, ...], Any]:
    """The settings of presets/NAME.yaml, or those that a robot has, if it has any, for the device
    that `params`, made for another robot, are made for."""
    known = sorted(p.stem for p in PRESETS.glob("*.yaml"))
    if name is None:
        before = yaml.safe_load(params)
        kind = "gpu" if before["train"]["device"] == "cuda" else "cpu"
        name = f"{robot.removesuffix('_fast')}-{kind}" if robot else ""
        if robot and kind == "gpu" and name not in known and robot != before["robot"]:
            raise StudyError(f"no preset {name}; name one of {', '.join(known)}: --preset")
        if name not in known or robot == before["robot"]:
            return {}
    if name not in known:
        raise StudyError(f"preset: expected one of {', '.join(known)}, got {name}")
    values: dict[tuple[str, ...], Any] = {}
    for key, value in yaml.safe_load((PRESETS / f"{name}.yaml").read_text()).items():
        section = isinstance(value, dict)
        values |= {(key, k): v for k, v in value.items()} if section else {(key,): value}
    return values


def validated(**settings: str | None) -> dict[tuple[str, ...], Any]:
    """The settings of `new`, each with its place in params.yaml. Raises StudyError."""
    values: dict[tuple[str, ...], Any] = {}
    if (robot := settings.get("robot")) is not None:
        known = sorted(p.name for p in Path("robots").iterdir() if p.is_dir())
        if robot not in known:
            raise StudyError(f"robot: expected one of {', '.join(known)}, got {robot}")
        values["robot",] = robot
    if (seed := settings.get("seed")) is not None:
        if not seed.isdecimal():
            raise StudyError(f"seed: expected a whole number at least 0, got {seed}")
        values["seed",] = int(seed)
    if (task := settings.get("task")) is not None:
        values["task",] = task.replace("'", "\u2019")  # dvc.yaml hands it on in single quotes
    if (video := settings.get("video")) is not None:
        local = Path(video).expanduser()
        if "://" not in video and not video.startswith("pypi:") and not local.is_file():
            raise StudyError(
                f"video: expected a file, a link or pypi:NAME==VERSION/path, got {video}"
            )
        if local.is_file():  # what git knows is in every clone and worktree
            kept = os.path.relpath(local) in git("ls-files", "-z").split("\0")
            video = os.path.relpath(local) if kept else str(local.absolute())
        values["fetch", "source"] = video
        values["fetch", "sha256"] = digest(local) if local.is_file() else None
        values["fetch", "start"] = 0.0
        values |= {("fetch", key): None for key in ("end", "crop", "licence")}
    if (author := settings.get("author")) is not None:
        model = None if author in AUTHORS else _model("author", author)
        values["propose", "author"] = "llm" if model else author
        values["propose", "model"] = model
    if (critic := settings.get("critic")) is not None:
        model = None if critic in CRITICS else _model("critic", critic)
        values["critique", "critic"] = "vlm" if model else critic
        values["critique", "model"] = model
        if critic == "person":
            values["critique", "file"] = WORDS
    return values


def _model(role: str, name: str) -> str:
    """A model's name, which is neither forgotten nor the kind of a setting."""
    if not name.strip() or name in ("null", "None", *ASK_A_MODEL):
        others = " or ".join(CRITICS if role == "critic" else AUTHORS)
        raise StudyError(
            f"{role}: expected a model's name on its server, or {others}, got {name!r}"
        )
    return name


def _set(params: str, values: dict[tuple[str, ...], Any]) -> str:
    """`params` with some values replaced and every comment kept."""
    root: Any = yaml.compose(params, Loader=yaml.SafeLoader)
    places: dict[tuple[str, ...], Any] = {}
    for key, node in root.value:
        places[key.value,] = node
        if isinstance(node, yaml.MappingNode):
            places |= {(key.value, k.value): v for k, v in node.value}
    if unknown := [".".join(place) for place in values if place not in places]:
        raise StudyError(f"{PARAMS} has no {', '.join(unknown)}; add it, with its comment")
    for place in sorted(values, key=lambda p: places[p].start_mark.index, reverse=True):
        node = places[place]
        text = yaml.safe_dump(values[place], width=10**6, allow_unicode=True)
        text = text.removesuffix("...\n").strip()
        params = params[: node.start_mark.index] + text + params[node.end_mark.index :]
    return params
