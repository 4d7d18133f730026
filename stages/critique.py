"""The critic compares each rollout with the expert.

reads   expert/         motion.json, sheet.jpg
        criteria.json   what the critic will judge by
        rollouts/       of each candidate motion.json, sheet.jpg, stats.json
        parent/         the parent's best: the same files
        file            a person's critiques, where a person is the critic

writes  critique.json   for each candidate the measured figures, gates, four headings, failure and
                        verdict, and the calls to a model
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward import measures
from reelward.critics import critic
from reelward.critics.base import Scene, View
from reelward.motion.record import from_json
from reelward.records import Candidates, Criteria, CriticKind, ModelSettings, Stats
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.progress import progress
from reelward.runtime.words import counted


@dataclass(frozen=True)
class Args:
    expert: Path
    """Folder of the expert's keyframes."""
    criteria: Path
    """criteria.json of the expert."""
    rollouts: Path
    """Folder of the candidates' rollouts."""
    parent: Path
    """Folder of the parent's best."""
    out: Out
    """critique.json to write."""
    iteration: str
    """Name of this iteration, such as iter-02."""
    task: str
    """What the robot learns, in a sentence."""
    critic: CriticKind
    """Who compares: measured (figures alone), vlm (a model that looks at the contact sheets), or person
    (the words in `file`)."""
    model: str | None
    """Name of the critic's model on its server; null without a model."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    """Sampling temperature of the critic's model; null for its server's default."""
    max_tokens: Annotated[int, Field(ge=100)]
    """Most tokens that the critic's model may write in an answer."""
    file: Path
    """YAML file of a person's critiques; prompts/critiques.yaml explains its form."""
    noise: Annotated[float, Field(ge=0, le=1)]
    """Change of closeness that another training seed causes. A smaller gain is called the same."""
    measure: Path
    """params.yaml, whose section `measure` says how motion is measured."""


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
    with progress(len(learners), f"judging {counted(len(learners), 'candidate')}") as bar:
        scene = Scene(
            measure=measures.read(args.measure),
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
        files.write_record(args.out, critic(args.critic).critique(scene))


if __name__ == "__main__":
    run_stage(main, Args)
