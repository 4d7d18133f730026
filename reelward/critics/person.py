"""The critic that is a person: critiques from a file, in the paper's four headings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationError

from reelward.critics.base import Scene, weighed
from reelward.critics.measured import describe, judged
from reelward.models.schemas import HEADING, Answer, Failure
from reelward.records import Judgement, Verdict
from reelward.runtime.errors import InputError
from reelward.runtime.validation import read_yaml

__all__ = ("critique", "describe")

Heading = Annotated[str, Field(max_length=HEADING)]


class Entry(Answer):
    """A person's critique of one candidate."""

    wrong: Heading
    rewrite: Heading
    remove: Heading
    add: Heading
    failure: Failure
    verdict: Verdict
    confidence: Annotated[float, Field(ge=0, le=1)]


def critique(scene: Scene) -> Judgement:
    """A critique of each candidate. Raises InputError while the file lacks one."""
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
        try:
            entry = Entry.model_validate(entries[name])
        except ValidationError as e:
            first = e.errors()[0]
            where = f"{scene.iteration}.{name}.{'.'.join(map(str, first['loc']))}"
            raise InputError(f"{scene.words}: {where}: {first['msg']}") from None
        figures = judged(scene, learner)
        words = entry.model_dump(exclude={"verdict"})
        candidates[name] = weighed(figures, words, [entry.verdict])
        scene.advance()
    return Judgement(critic="person", parent=judged(scene, scene.parent), candidates=candidates)
