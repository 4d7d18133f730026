"""The author writes candidate rewards.

reads   expert/         motion.json, sheet.jpg
        criteria.json   the expert in the critic's words
        parent/         selected.py, feedback.json: the reward to go on from, and what came of it
        parent_best/    sheet.jpg, for an author that looks at the learner itself
writes  proposal.json   every candidate as text, where its training starts, and why it is proposed;
                        whether the expert's legs alternate; with a model all calls made for them
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from reelward.authors import llm, measured
from reelward.language import RewardError, compile_reward, native_terms, read_native
from reelward.measures.gait import alternate
from reelward.models.chat import Chat
from reelward.models.server import ready
from reelward.motion.record import Motion, from_json
from reelward.records import ModelSettings
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError
from reelward.sim.robot import Robot, load_robot


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert's keyframes"""
    criteria: Path
    """criteria.json"""
    parent: Path
    """folder of the parent's reward and feedback"""
    parent_best: Path
    """the parent's best"""
    out: Out
    """proposal.json to write"""
    robot: str
    """robots/NAME"""
    native: Path
    """params.yaml: its section `native` names the user's own terms"""
    task: str
    """what is to be learned, in a sentence"""
    critic: Literal["measured", "vlm", "file"]
    """who will judge; a vlm must be within reach before anything is trained"""
    author: Literal["measured", "llm"]
    """who writes"""
    candidates: Annotated[int, Field(ge=1, le=16)]
    """rewards to write"""
    model: str | None
    """of an llm: its name on its server"""
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    """of an llm; null: its server's own"""
    max_tokens: Annotated[int, Field(ge=100)]
    """most that an llm writes in an answer"""
    evidence: Literal["critique", "sheets", "terms"]
    """what an llm learns of the motion: the critic's words and the measured differences; the two
    contact sheets, so that one model is critic and author; or nothing but its reward's figures"""


def measured_candidates(
    args: Args, robot: Robot, expert: Motion, source: str, feedback: dict[str, Any]
) -> dict[str, Any]:
    native = read_native(args.native)
    try:
        parent = compile_reward(source, robot.fields, native=native_terms(native))
    except RewardError:
        parent = None
    proposed = measured.propose(
        robot, expert, parent, feedback, task=args.task, count=args.candidates, native=tuple(native)
    )
    if not proposed:
        raise InputError(
            f"{args.expert}/motion.json: the expert's speed is not usable, so there is nothing to "
            "aim at; give another video, or set keyframes.time_scale"
        )
    return {"candidates": [asdict(c) for c in proposed]}


def written_candidates(
    args: Args, robot: Robot, expert: Motion, source: str, feedback: dict[str, Any]
) -> dict[str, Any]:
    chat = Chat(
        "author",
        ModelSettings(name=args.model, temperature=args.temperature, max_tokens=args.max_tokens),
    )
    ready("author")
    sheets = [args.expert / "sheet.jpg", args.parent_best / "sheet.jpg"]
    shown = [s.read_bytes() for s in sheets if s.is_file()] if args.evidence == "sheets" else []
    proposed = llm.propose(
        chat, robot, expert, source, feedback, task=args.task, count=args.candidates,
        evidence=args.evidence, native=read_native(args.native), described=files.read_json(args.criteria), sheets=shown,
    )  # fmt: skip
    return {"candidates": proposed} | chat.record().model_dump(mode="json")


def main(args: Args) -> None:
    if args.critic == "vlm":
        ready("critic")
    robot = load_robot(args.robot)
    expert = from_json(files.read_json(args.expert / "motion.json"))
    source = (args.parent / "selected.py").read_text()
    feedback = files.read_json(args.parent / "feedback.json")
    write = written_candidates if args.author == "llm" else measured_candidates
    proposal = write(args, robot, expert, source, feedback)
    files.write_json(args.out, {"author": args.author, "alternate": alternate(expert)} | proposal)


if __name__ == "__main__":
    run_stage(main, Args)
