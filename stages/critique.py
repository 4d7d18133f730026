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
from typing import Annotated, Any, Literal

from pydantic import Field

from reelward.critics import measured, person, vlm
from reelward.critics.view import View
from reelward.models.chat import Chat
from reelward.models.server import ready
from reelward.records import ModelSettings
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
    critic: Literal["measured", "vlm", "file"]
    """who judges"""
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


def looked_at(args: Args, expert: View, parent: View, learners: dict[str, View]) -> dict[str, Any]:
    """What a vision-language model says of the candidates, and how it came to say it."""
    chat = Chat(
        "critic",
        ModelSettings(name=args.model, temperature=args.temperature, max_tokens=args.max_tokens),
    )
    ready("critic")
    criteria = files.read_json(args.criteria)["criteria"]
    found = {}
    with progress(len(learners), f"{args.model} looks at {len(learners)} candidates") as bar:
        for name, learner in learners.items():
            found[name] = vlm.critique(
                chat, expert, learner, parent, criteria=criteria, task=args.task, noise=args.noise
            )
            bar.advance()
    return {"candidates": found} | chat.record().model_dump(mode="json")


def main(args: Args) -> None:
    expert, parent = View.read(args.expert), View.read(args.parent)
    index = files.read_json(args.rollouts / "index.json")["candidates"]
    learners = {c["name"]: View.read(args.rollouts / c["name"]) for c in index if not c["error"]}
    if args.critic == "vlm":
        said = looked_at(args, expert, parent, learners)
    elif args.critic == "file":
        said = {
            "candidates": person.critiques(
                args.file, args.iteration, expert, learners, parent, args.noise
            )
        }
    else:
        said = {
            "candidates": {
                name: measured.critique(expert.motion, v.motion, parent.motion, args.noise)
                for name, v in learners.items()
            }
        }
    before = measured.critique(expert.motion, parent.motion, parent.motion, args.noise)
    files.write_json(args.out, {"critic": args.critic, "parent": before} | said)


if __name__ == "__main__":
    run_stage(main, Args)
