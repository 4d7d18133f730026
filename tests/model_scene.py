"""A scene for critic and author: an expert, three robots, and the feedback of an iteration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import motions
import scripted_answers
from model_helpers import ROOT, sheet
from motions import EXPERT, STANDS, motion
from scripted_server import MODEL, Call

from reelward import measures
from reelward.authors import llm
from reelward.critics import measured, vlm
from reelward.critics.base import Scene, View
from reelward.records import (
    Candidate,
    Candidates,
    CheckedCandidate,
    Criteria,
    Critique,
    Feedback,
    ModelSettings,
    Proposal,
    Stats,
    TermCurve,
    Training,
    Trial,
)
from reelward.runtime import files
from reelward.studies import ledger
from stages import rewards

SETTINGS = ModelSettings(name=MODEL, temperature=None, max_tokens=1000)
STATS = Stats(episodes=1, seconds=10.0, lived_s=(10.0,), term_means={"alive": 1.0})
CRITERIA = Criteria(description="A calm walk.", criteria=("both feet leave the ground in turn",))

WALKS = View(EXPERT, sheet(200))
SLOW = View(motion(speed=0.30), sheet(120), STATS)
GOOD = View(motion(speed=0.42), sheet(160), STATS)
FELL = View(STANDS, None, STATS.model_copy(update={"lived_s": (0.4,)}))


# --- critics ----------------------------------------------------------------------------------


def scene(parent: View, **learners: View) -> Scene:
    return Scene(
        measure=measures.load("gait"), expert=WALKS, parent=parent, learners=learners,
        criteria=CRITERIA, task="walk", iteration="iter-00", noise=0.03, model=SETTINGS,
        words=Path("critiques.yaml"),
    )  # fmt: skip


def criticised(learner: View, parent: View) -> Critique:
    """The critique of the model."""
    return vlm.critique(scene(parent, c0=learner)).candidates["c0"]


def by_measure(learner: View, parent: View) -> Critique:
    """The critique of the measure alone."""
    return measured.judged(scene(parent), learner)


def constant(**answer: object) -> Callable[[Call], str]:
    """A critic that always gives the same answer."""
    usual = {
        "wrong": "w", "rewrite": "r", "remove": "x", "add": "a", "failure": "drag",
        "closer": "same", "confidence": 0.9,
    }  # fmt: skip
    return lambda call: json.dumps(usual | answer)


# --- authors ----------------------------------------------------------------------------------

SEED = (ROOT / "rewards/seed/selected.py").read_text()
CLOCKED = scripted_answers.reward_file(
    {"speed": 1.3, "lean": 0.0, "duty": 0.6, "period": 1.3},
    scripted_answers.GOAL | {"clock": 1.0}, 1.01, "goal and clock",
)["reward"]  # fmt: skip
CRITIQUE = by_measure(SLOW, SLOW).model_copy(
    update={
        "failure": "drag", "verdict": "better", "confidence": 0.8, "wrong": "drags the left foot",
        "rewrite": "the clock", "remove": "nothing", "add": "foot height",
    }
)  # fmt: skip


def feedback(critique: Critique = CRITIQUE, selected: str = "iter-00/c1") -> Feedback:
    """What iteration 0 brought, with a trial more."""
    first = Trial(
        name="iter-00/c1", parent="", start="scratch", note="goal and clock", targets={},
        weights={}, figures={}, closeness=0.5, eligible=True, failure="none",
    )  # fmt: skip
    child = first.model_copy(
        update={
            "name": "iter-01/c0", "parent": "iter-00/c1", "closeness": 0.62, "note": "slower",
            "failure": "drag",
        }
    )  # fmt: skip
    alive = TermCurve(min=0.1, mean=0.5, max=1.0, share=0.75, points=(0.1, 1.0))
    return Feedback(
        iteration="iter-00", number=0, selected=selected, critique=critique,
        training=Training(
            env_steps=(1.0, 2.0), returns=(3.0, 4.0), episode_length=(12.0, None),
            terms={"alive": alive},
        ),
        refused={"c2": "E_NAME line 3, col 4: no such name\nmore"}, trials=(first, child),
    )  # fmt: skip


def propose(
    feedback: Feedback | None = None, count: int = 3, **more: object
) -> tuple[Candidate, ...]:
    """The candidates of the model, by default before the first iteration."""
    parent = CLOCKED if feedback else SEED
    given = {"criteria": CRITERIA, "model": SETTINGS, "count": count, "parent": parent} | more
    brief = motions.brief(feedback=feedback, **given)
    return llm.propose(brief).candidates


def checked_by_stage(candidates: tuple[Candidate, ...]) -> tuple[CheckedCandidate, ...]:
    """The index that the stage rewards writes for these candidates."""
    files.write_record(Path("proposal.json"), Proposal(author="llm", candidates=candidates))
    Path("loop.yaml").write_text(ledger.FIRST)
    rewards.main(
        rewards.Args(
            proposal=Path("proposal.json"),
            out=Path("candidates"),
            robot="biped",
            ledger=Path("loop.yaml"),
            iteration="iter-00",
            native=ROOT / "params.yaml",
        )  # fmt: skip
    )
    return files.read_record(Path("candidates/index.json"), Candidates).candidates
