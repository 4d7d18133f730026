"""The critic compares each rollout with the expert.

reads   expert/         motion.json, sheet.jpg
        criteria.json   what the critic said it would judge by
        rollouts/       c0/motion.json, sheet.jpg, stats.json ...
        parent/         the parent's best: the same
        file            what a person wrote, where a person is the critic
writes  critique.json   for each candidate closeness, gates, four headings, failure, verdict; with a
                        model all calls made for them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward import measures
from reelward.critics import CRITICS
from reelward.critics.base import Scene, View
from reelward.motion.record import from_json
from reelward.records import Candidates, Criteria, CriticKind, MeasureKind, ModelSettings, Stats
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.progress import progress


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert's keyframes"""
    criteria: Path
    """criteria.json"""
    rollouts: Path
    """folder of the candidates' rollouts"""
    parent: Path
    """the parent's best"""
    out: Out
    """critique.json to write"""
    iteration: str
    """name of this iteration"""
    task: str
    """what is to be learned, in a sentence"""
    critic: CriticKind
    """measured: figures alone; vlm: a model looks at the contact sheets; person: reads `file`"""
    model: str | None
    """of a vlm: its name on its server"""
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    """of a vlm; null: its server's own"""
    max_tokens: Annotated[int, Field(ge=100)]
    """most that a vlm writes in an answer"""
    file: Path
    """what a person wrote: see prompts/critiques.yaml"""
    noise: Annotated[float, Field(ge=0, le=1)]
    """closeness that another training seed moves; smaller gains are called the same"""
    measure: MeasureKind
    """what good motion means: measure.kind of params.yaml"""
    field: str | None
    """of the measure: measure.field"""
    goal: float | None
    """of the measure: measure.goal"""


def view(folder: Path) -> View:
    """What a folder of the expert or of a rollout shows."""
    sheet, stats = folder / "sheet.jpg", folder / "stats.json"
    return View(
        from_json(files.read_json(folder / "motion.json")),
        sheet.read_bytes() if sheet.is_file() else None,
        files.read_record(stats, Stats) if stats.is_file() else None,
    )


def main(args: Args) -> None:
    index = files.read_record(args.rollouts / "index.json", Candidates)
    learners = {c.name: view(args.rollouts / c.name) for c in index.sound}
    with progress(len(learners), f"judging {len(learners)} candidates") as bar:
        scene = Scene(
            measure=measures.load(args.measure, args.field, args.goal),
            expert=view(args.expert),
            parent=view(args.parent),
            learners=learners,
            criteria=files.read_record(args.criteria, Criteria),
            task=args.task,
            iteration=args.iteration,
            noise=args.noise,
            model=ModelSettings(
                name=args.model, temperature=args.temperature, max_tokens=args.max_tokens
            ),
            words=args.file,
            advance=bar.advance,
        )
        files.write_record(args.out, CRITICS[args.critic].critique(scene))


if __name__ == "__main__":
    run_stage(main, Args)
