"""A person is the critic: what was written in a file, in the paper's four headings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from reelward.critics import measured
from reelward.critics.view import View, weighed
from reelward.models.schemas import Answer, Failure
from reelward.runtime.errors import InputError
from reelward.runtime.validation import read_yaml


class Said(Answer):
    """An entry of the file."""

    wrong: Annotated[str, Field(max_length=300)]
    rewrite: Annotated[str, Field(max_length=300)]
    remove: Annotated[str, Field(max_length=300)]
    add: Annotated[str, Field(max_length=300)]
    failure: Failure
    verdict: Literal["better", "same", "worse", "cannot_tell"]
    confidence: Annotated[float, Field(ge=0, le=1)]


def critiques(
    file: Path, iteration: str, expert: View, learners: dict[str, View], parent: View, noise: float
) -> dict[str, dict[str, Any]]:
    """A critique for each candidate of the iteration. Raises InputError for what is not there."""
    entries = read_yaml(file).get(iteration)
    entries = entries if isinstance(entries, dict) else {}
    if missing := sorted(learners.keys() - entries.keys()):
        raise InputError(
            f"{file}: expected what you say of {iteration}'s {', '.join(missing)}; look at the films "
            f"in data/iterations/{iteration}/rollouts, write it, and run dvc repro again"
        )
    found = {}
    for name, learner in learners.items():
        try:
            said = Said.model_validate(entries[name])
        except ValidationError as e:
            first = e.errors()[0]
            where = f"{iteration}.{name}.{'.'.join(map(str, first['loc']))}"
            raise InputError(f"{file}: {where}: {first['msg']}") from None
        numbers = measured.critique(expert.motion, learner.motion, parent.motion, noise)
        found[name] = weighed(numbers, said.model_dump(exclude={"verdict"}), [said.verdict])
    return found
