"""Show an iteration on Prefect's page, and emit the event that other flows wait for."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from reelward.models.prompts import fenced
from reelward.records import Feedback
from reelward.runtime.files import read_record

REWARDS = Path("rewards")
SELECTED = "reelward.reward.selected"
"""Name of the event: a reward was selected and committed."""


def slug(name: str) -> str:
    """A name in the characters that Prefect allows in a key."""
    return re.sub("[^a-z0-9]+", "-", name.lower())


def difference(before: Path, after: Path) -> str:
    """The difference of two text files, in Markdown."""
    old, new = (p.read_text().splitlines() for p in (before, after))
    lines = difflib.unified_diff(old, new, str(before), str(after), lineterm="")
    return fenced("\n".join(lines), "diff") + "\n"


def motion(key: str, parent: str) -> list[dict[str, str | float | None]]:
    """A row for each figure that counts: the expert's, the parent's best's and this iteration's; None
    where a learner does not show it."""
    mine, before = (
        read_record(REWARDS / name / "feedback.json", Feedback).critique for name in (key, parent)
    )
    return [
        {
            "figure": row.name,
            "expert": row.expert,
            "parent": before.figure(row.name) if before else None,
            "selected": row.learner,
        }
        for row in (mine.usable_rows if mine else ())
    ]


def selected(study: str, key: str, parent: str, commit: str, trailers: dict[str, str]) -> None:
    """Show what an iteration selected, and emit the event."""
    reward = difference(REWARDS / parent / "selected.py", REWARDS / key / "selected.py")
    facts = "\n".join(f"- {name}: {value}" for name, value in trailers.items())
    create_markdown_artifact(
        key=f"reward-{slug(study)}",
        description=f"the reward of {key}",
        markdown=f"{facts}\n\n{reward}",
    )
    create_table_artifact(
        key=f"motion-{slug(study)}", description=f"the motion of {key}", table=motion(key, parent)
    )
    emit_event(
        SELECTED,
        resource={
            "prefect.resource.id": f"reelward.study.{study}",
            "prefect.resource.name": study,
        },
        payload={"study": study, "iteration": key, "commit": commit, **trailers},
    )
