"""The critic looks at the expert and fixes what robots will be judged by, before it sees one.

reads   expert/         motion.json and sheet.jpg
writes  criteria.json   the motion in words, the criteria, and the calls made for them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward import measures
from reelward.critics import CRITICS
from reelward.critics.base import View
from reelward.motion.record import from_json
from reelward.records import CriticKind, MeasureKind, ModelSettings
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert's keyframes"""
    out: Out
    """criteria.json to write"""
    task: str
    """what is to be learned, in a sentence"""
    critic: CriticKind
    """the critic; all but vlm judge by the figures"""
    model: str | None
    """of a vlm"""
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    """of a vlm; null: its server's own"""
    max_tokens: Annotated[int, Field(ge=100)]
    """most that a vlm writes in an answer"""
    measure: MeasureKind
    """what good motion means: measure.kind of params.yaml"""
    field: str | None
    """of the measure: measure.field"""
    goal: float | None
    """of the measure: measure.goal"""


def main(args: Args) -> None:
    sheet = args.expert / "sheet.jpg"
    expert = View(
        from_json(files.read_json(args.expert / "motion.json")),
        sheet.read_bytes() if sheet.is_file() else None,
    )
    measure = measures.load(args.measure, args.field, args.goal)
    model = ModelSettings(name=args.model, temperature=args.temperature, max_tokens=args.max_tokens)
    criteria = CRITICS[args.critic].describe(measure, expert, args.task, model)
    files.write_record(args.out, criteria)


if __name__ == "__main__":
    run_stage(main, Args)
