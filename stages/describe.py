"""The critic looks at the expert and fixes its criteria before it sees a robot.

reads   expert/         motion.json and sheet.jpg

writes  criteria.json   the motion in words, the criteria, and the calls to a model
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward import measures
from reelward.critics import critic
from reelward.critics.base import View
from reelward.motion.record import from_json
from reelward.records import CriticKind, ModelSettings
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage


@dataclass(frozen=True)
class Args:
    expert: Path
    """Folder of the expert's keyframes."""
    out: Out
    """criteria.json to write."""
    task: str
    """What the robot learns, in a sentence."""
    critic: CriticKind
    """The critic. All critics but vlm judge by figures and need no model."""
    model: str | None
    """Name of the critic's model on its server; null without a model."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    """Sampling temperature of the critic's model; null for its server's default."""
    max_tokens: Annotated[int, Field(ge=100)]
    """Most tokens that the critic's model may write in an answer."""
    measure: Path = Path("params.yaml")
    """params.yaml, whose section `measure` says how motion is measured."""


def main(args: Args) -> None:
    sheet = args.expert / "sheet.jpg"
    expert = View(
        from_json(files.read_json(args.expert / "motion.json")),
        sheet.read_bytes() if sheet.is_file() else None,
    )
    measure = measures.read(args.measure)
    model = ModelSettings(name=args.model, temperature=args.temperature, max_tokens=args.max_tokens)
    criteria = critic(args.critic).describe(measure, expert, args.task, model)
    files.write_record(args.out, criteria)


if __name__ == "__main__":
    run_stage(main, Args)
