"""A scene for critic and author: an expert, three robots, and the feedback of an iteration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import scripted_answers
from model_helpers import ROOT, sheet
from motions import BIPED, EXPERT, STANDS, motion
from reelward.critics.view import View
from scripted_server import MODEL, Call

from reelward.authors import llm
from reelward.critics import measured
from reelward.models.chat import Chat
from reelward.motion.record import Motion
from reelward.records import ModelSettings

STATS = {"episodes": 1, "seconds": 10.0, "lived_s": [10.0], "term_means": {"alive": 1.0}}
SEED = (ROOT / "rewards/seed/selected.py").read_text()


WALKS = View(EXPERT, sheet(200), {})
SLOW = View(motion(speed=0.30), sheet(120), STATS)
GOOD = View(motion(speed=0.42), sheet(160), STATS)
FELL = View(STANDS, None, STATS | {"lived_s": [0.4]})
BY = dict(criteria=["the knee bends in swing"], task="walk", noise=0.03)


def critic() -> Chat:
    return Chat("critic", ModelSettings(name=MODEL, temperature=None, max_tokens=1000))


def author() -> Chat:
    return Chat("author", ModelSettings(name=MODEL, temperature=None, max_tokens=1000))


def saying(**answer: Any) -> Callable[[Call], str]:
    """A critic that always says the same."""
    same = {
        "wrong": "w", "rewrite": "r", "remove": "x", "add": "a", "failure": "drag",
        "closer": "same", "confidence": 0.9,
    }  # fmt: skip
    return lambda call: json.dumps(same | answer)


def feedback_of(critique: dict[str, Any], reached: View = SLOW, **more: Any) -> dict[str, Any]:
    """A feedback.json after iteration 0."""
    trial = {
        "name": "iter-00/c1", "parent": "", "start": "scratch", "note": "goal and clock",
        "closeness": 0.5, "failure": "none", "eligible": True, "targets": {}, "weights": {},
        "descriptors": {},
    }  # fmt: skip
    child = trial | {"name": "iter-01/c0", "parent": "iter-00/c1", "closeness": 0.62,
                     "note": "slower", "failure": "drag"}  # fmt: skip
    return {
        "iteration_number": 0, "selected": "iter-00/c1", "critique": critique, "trials": [trial, child],
        "differences": measured.differences(EXPERT, reached.motion),
        "training": {
            "env_steps": [1.0, 2.0], "episode_length": [12.0, None],
            "terms": {"alive": {"min": 0.1, "mean": 0.5, "max": 1.0, "share": 0.75,
                                "points": [0.1, 1.0]}},
        },
        "refused": {"c2": "E_NAME line 3, col 4: no such name\nmore"},
    } | more  # fmt: skip


WORDS = {
    "failure": "drag", "verdict": "better", "confidence": 0.8, "wrong": "drags the left foot",
    "rewrite": "the clock", "remove": "nothing", "add": "foot height",
}  # fmt: skip
DESCRIBED = {"description": "A calm walk.", "criteria": ["both feet leave the ground in turn"]}
CLOCKED = scripted_answers.reward_file(
    {"speed": 1.3, "lean": 0.0, "duty": 0.6, "period": 1.3},
    scripted_answers.GOAL | {"clock": 1.0}, 1.01, "goal and clock",
)["reward"]  # fmt: skip


def propose_with(
    feedback: dict[str, Any],
    count: int = 3,
    evidence: str = "critique",
    sheets: Any = (),
    native: Any = None,
    described: Any = None,
    expert: Motion = EXPERT,
) -> list[dict[str, Any]]:
    parent = CLOCKED if feedback else SEED
    return llm.propose(
        author(), BIPED, expert, parent, feedback, task="walk", count=count,
        evidence=evidence, described=described or DESCRIBED, sheets=sheets, native=native or {},
    )  # fmt: skip
