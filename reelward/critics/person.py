"""The critic that is a person: critiques from a file, in the paper's four headings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from reelward.critics.base import Scene, weighed
from reelward.critics.measured import describe, judged
from reelward.models.schemas import HEADING, Answer, Failure
from reelward.records import Judgement, Verdict
from reelward.runtime.errors import InputError
from reelward.runtime.validation import read_yaml, shortened

__all__ = ("critique", "describe")

Heading = Annotated[str, Field(max_length=HEADING)]


class Entry(Answer):
    """A person's critique of one candidate. A misspelt key is told, not dropped."""

    model_config = ConfigDict(extra="forbid")

    wrong: Heading
    rewrite: Heading
    remove: Heading
    add: Heading
    failure: Failure
    verdict: Verdict
    confidence: Annotated[float, Field(ge=0, le=1)]


def complaints(file: Path) -> list[str]:
    """A line for each critique in a person's file that cannot be used. Raises InputError where it is no
    YAML mapping."""
    lines = []
    for iteration, entries in read_yaml(file).items():
        if entries is None:  # begun, and not written yet
            continue
        if not isinstance(entries, dict):
            lines.append(
                f"{file}: {shortened(iteration)}: expected a critique of each candidate, got {shortened(entries)}"
            )
            continue
        for name, entry in entries.items():
            try:
                Entry.model_validate(entry)
            except ValidationError as e:
                lines += [
                    f"{file}: {shortened('.'.join(map(str, (iteration, name, *error['loc']))))}"
                    f" = {shortened(error['input'])}: {error['msg']}"
                    for error in e.errors()
                ]
    return lines


def critique(scene: Scene) -> Judgement:
    """A critique of each candidate. Raises InputError while the file lacks one, or has one that cannot be
    used, of this iteration or of another."""
    if lines := complaints(scene.words):
        raise InputError("\n".join(lines))
    entries = read_yaml(scene.words).get(scene.iteration)
    entries = entries if isinstance(entries, dict) else {}
    if missing := sorted(scene.learners.keys() - entries.keys()):
        raise InputError(
            f"{scene.words}: expected a critique of {scene.iteration}'s {', '.join(missing)}; draw "
            f"the films, dvc repro film@{scene.iteration}, watch them in "
            f"data/iterations/{scene.iteration}/films, write it, and run dvc repro again"
        )
    candidates = {}
    for name, learner in scene.learners.items():
        entry = Entry.model_validate(entries[name])
        figures = judged(scene, learner)
        words = entry.model_dump(exclude={"verdict"})
        candidates[name] = weighed(figures, words, [entry.verdict])
        scene.advance()
    return Judgement(critic="person", parent=judged(scene, scene.parent), candidates=candidates)
