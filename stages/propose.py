"""The author writes candidate rewards.

reads   expert/         motion.json, sheet.jpg
        criteria.json   the expert in the critic's words
        parent/         selected.py, feedback.json: the reward to go on from, and what came of it
        parent_sheet    for an author that looks at the learner itself
writes  proposal.json   every candidate as text, where its training starts, and why it is proposed;
                        with a model all calls made for them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward.authors import AUTHORS
from reelward.authors.base import Brief
from reelward.language import read_native
from reelward.models.server import ready
from reelward.motion.record import from_json
from reelward.records import AuthorKind, Criteria, Evidence, Feedback, ModelSettings
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.sim.robot import load_mjcf


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert's keyframes"""
    criteria: Path
    """criteria.json"""
    parent: Path
    """folder of the parent's reward and feedback"""
    parent_sheet: Path
    """contact sheet of the parent's best"""
    out: Out
    """proposal.json to write"""
    robot: str
    """robots/NAME"""
    native: Path
    """params.yaml: its section `native` names the user's own terms"""
    task: str
    """what is to be learned, in a sentence"""
    critic_model: str | None
    """of the critic; it must be within reach before anything is trained"""
    author: AuthorKind
    """measured: no model; llm: writes reward code; fixed: the parent's reward as it stands"""
    candidates: Annotated[int, Field(ge=1, le=16)]
    """rewards to write"""
    model: str | None
    """of an llm: its name on its server"""
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    """of an llm; null: its server's own"""
    max_tokens: Annotated[int, Field(ge=100)]
    """most that an llm writes in an answer"""
    evidence: Evidence
    """what an llm learns of the motion: the critic's words and the measured differences; the two
    contact sheets, so that one model is critic and author; or nothing but its reward's figures"""


def brief(args: Args) -> Brief:
    sheets = [args.expert / "sheet.jpg", args.parent_sheet]
    return Brief(
        robot=load_mjcf(args.robot),
        expert=from_json(files.read_json(args.expert / "motion.json")),
        parent=(args.parent / "selected.py").read_text(),
        feedback=files.read_record(args.parent / "feedback.json", Feedback),
        criteria=files.read_record(args.criteria, Criteria),
        task=args.task,
        count=args.candidates,
        native=read_native(args.native),
        model=ModelSettings(
            name=args.model, temperature=args.temperature, max_tokens=args.max_tokens
        ),
        evidence=args.evidence,
        sheets=tuple(s.read_bytes() for s in sheets if s.is_file())
        if args.evidence == "sheets"
        else (),
    )


def main(args: Args) -> None:
    if args.critic_model:
        ready("critic")
    files.write_record(args.out, AUTHORS[args.author].propose(brief(args)))


if __name__ == "__main__":
    run_stage(main, Args)
