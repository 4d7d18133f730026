"""All studies of a clone at a glance, read from git without checking any out."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAMLError

from reelward.studies import ledger
from reelward.studies.git import contents, git
from reelward.studies.study import names
from reelward.studies.yaml_text import loaded

FILES = ("params.yaml", "loop.yaml", "metrics.json")


@dataclass(frozen=True)
class Overview:
    """A study as its branch has it. None: its files there do not say."""

    name: str
    here: bool
    """whether it is checked out"""
    remote: bool
    """whether only a remote has it"""
    robot: str | None
    task: str | None
    done: int
    """iterations with a result"""
    planned: int | None
    """iterations in the ledger"""
    closeness: float | None
    """of what is published"""
    date: str
    """of its last commit, ISO 8601"""
    age: str
    """of its last commit, in words"""


def overview() -> list[Overview]:
    """All studies, the one with the newest commit first."""
    here = git("branch", "--show-current").strip()
    refs = {ref: name for name, ref in names().items()}
    form = "%(refname)%09%(committerdate:iso-strict)%09%(committerdate:relative)"
    lines = git("for-each-ref", f"--format={form}", "--sort=-committerdate", *refs) if refs else ""
    dated = [line.split("\t") for line in lines.splitlines()]
    texts = iter(contents(*(f"{ref}:{file}" for ref, *_ in dated for file in FILES)))
    return [
        _study(refs[ref], ref, here, (date, age), *(next(texts) or "" for _ in FILES))
        for ref, date, age in dated
    ]


def _study(
    name: str, ref: str, here: str, dates: tuple[str, str], params: str, loop: str, metrics: str
) -> Overview:
    settings, figures, planned = _mapping(params), _mapping(metrics), None
    with contextlib.suppress(ledger.LedgerError):
        planned = len(ledger.parents(loop))
    number = str(figures.get("iteration", "")).removeprefix("iter-")
    closeness = figures.get("closeness")
    return Overview(
        name=name,
        here=ref == f"refs/heads/{here}",
        remote=ref.startswith("refs/remotes/"),
        robot=_text(settings.get("robot")),
        task=_text(settings.get("task")),
        done=int(number) + 1 if number.isdigit() else 0,
        planned=planned,
        closeness=closeness if isinstance(closeness, float | int) else None,
        date=dates[0],
        age=dates[1],
    )


def _mapping(text: str) -> dict[str, Any]:
    with contextlib.suppress(YAMLError):
        content = loaded(text)
        return content if isinstance(content, dict) else {}
    return {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def lines(studies: Sequence[Overview], width: int) -> list[str]:
    """The studies as a table of text; the tasks are cut so that no line is longer than `width`."""
    titles = ("", "study", "robot", "iterations", "closeness", "changed", "task")
    rows = [titles, *map(_cells, studies)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in table]


def _cells(study: Overview) -> tuple[str, ...]:
    return (
        "*" if study.here else "",
        f"{study.name} (remote)" if study.remote else study.name,
        study.robot or "?",
        f"{study.done} of {study.planned if study.planned is not None else '?'}",
        "" if study.closeness is None else f"{study.closeness:.3f}",
        study.age,
        study.task or "?",
    )
