"""The author writes candidate rewards.

reads   expert/         motion.json, sheet.jpg
        criteria.json   the expert in the critic's words
        parent/         selected.py and feedback.json: the parent's reward and what it brought
        parent_best/    sheet.jpg, the contact sheet of the parent's best, for an author that looks at
                        it; there is none after a fall at the start, and of a robot without pictures

writes  proposal.json   of each candidate its text, where its training starts and why it is proposed,
                        and the calls to a model
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward.authors import author
from reelward.authors.base import Brief
from reelward.language import read_native
from reelward.measures.shared import unshared
from reelward.motion.record import from_json
from reelward.records import AuthorKind, Criteria, CriticKind, Evidence, Feedback, ModelSettings
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.words import show
from reelward.sim.robot import load_robot


@dataclass(frozen=True)
class Args:
    expert: Path
    """Folder of the expert's keyframes."""
    criteria: Path
    """criteria.json of the expert."""
    parent: Path
    """Folder of the parent's selected.py and feedback.json."""
    parent_best: Path
    """Folder of the parent's best."""
    out: Out
    """proposal.json to write."""
    robot: str
    """Name of a robot in robots/."""
    native: Path
    """params.yaml, whose section `native` names the user's own reward terms."""
    task: str
    """What the robot learns, in a sentence."""
    critic: CriticKind
    """The critic. If it is a model (vlm), its server must answer before anything is trained."""
    author: AuthorKind
    """Who writes: measured (no model), llm (a model), or fixed (the parent's reward, unchanged)."""
    candidates: Annotated[int, Field(ge=1, le=16)]
    """Number of candidate rewards."""
    model: str | None
    """Name of the author's model on its server; null without a model."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    """Sampling temperature of the author's model; null for its server's default."""
    max_tokens: Annotated[int, Field(ge=100)]
    """Most tokens that the author's model may write in an answer."""
    evidence: Evidence
    """What the author's model is told of the motion: critique (the critic's words and the measured
    differences), sheets (the two contact sheets: one model is critic and author), or terms (nothing
    but the figures of its reward's terms)."""


def brief(args: Args) -> Brief:
    sheets = {
        "the expert": args.expert / "sheet.jpg",
        "the robot trained on the reward below": args.parent_best / "sheet.jpg",
    }
    if args.evidence != "sheets":
        sheets = {}
    return Brief(
        robot=load_robot(args.robot),
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
        sheets={what: path.read_bytes() for what, path in sheets.items() if path.is_file()},
    )


def main(args: Args) -> None:
    if args.critic == "vlm":
        from reelward.models.server import ready  # here, because its client is slow to load

        ready("critic")
    about = brief(args)
    if about.feedback.first:
        for sentence in unshared(about.expert, about.robot):
            show(f"reelward propose: {sentence}", sys.stderr)
    files.write_record(args.out, author(args.author).propose(about))


if __name__ == "__main__":
    run_stage(main, Args)
