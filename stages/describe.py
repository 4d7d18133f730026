"""The critic looks at the expert and fixes what robots will be judged by, before it sees one.

reads   expert/         motion.json and sheet.jpg
writes  criteria.json   the motion in words, the criteria, and the calls made for them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from reelward.critics import measured, vlm
from reelward.critics.view import View
from reelward.models.chat import Chat, NoAnswer
from reelward.models.server import ready
from reelward.records import ModelSettings
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert's keyframes"""
    out: Out
    """criteria.json to write"""
    task: str
    """what is to be learned, in a sentence"""
    critic: Literal["measured", "vlm", "file"]
    """who judges; all but vlm judge by the descriptors"""
    model: str | None
    """of a vlm"""
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    """of a vlm; null: its server's own"""
    max_tokens: Annotated[int, Field(ge=100)]
    """most that a vlm writes in an answer"""


def main(args: Args) -> None:
    expert = View.read(args.expert)
    if args.critic != "vlm":
        names = list(measured.differences(expert.motion, expert.motion))
        files.write_json(args.out, {"description": "", "criteria": names})
        return
    chat = Chat(
        "critic",
        ModelSettings(name=args.model, temperature=args.temperature, max_tokens=args.max_tokens),
    )
    ready("critic")
    try:
        described: dict[str, Any] = vlm.describe(chat, expert, args.task)
    except NoAnswer as e:
        raise InputError(
            f"{args.model} did not describe the expert: {e}; name another model in critique.model"
        ) from None
    files.write_json(args.out, described | chat.record().model_dump(mode="json"))


if __name__ == "__main__":
    run_stage(main, Args)
