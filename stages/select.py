"""The best candidate; the parent's best where none beats it.

reads   critique.json, rollouts/, policies/ (with their learning curves), candidates/
        parent's best/, and its selected.py, feedback.json, history.csv
writes  selected.py     the reward to go on from
        feedback.json   what came of it: for the next author
        history.csv     the parent's, and a line for this iteration
        best/           the pair's other half: the policy, with its film and figures

The artefact is the pair of reward and policy, for a policy has a history: it went on from its
parent's, and the reward alone, trained from scratch, need not give it again.
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward import loop, measures
from reelward.records import Candidates, Feedback, Judgement, MeasureKind
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage


@dataclass(frozen=True)
class Args:
    iteration: str
    """name of this iteration"""
    critique: Path
    """critique.json"""
    rollouts: Path
    """folder of the rollouts"""
    policies: Path
    """folder of the policies"""
    candidates: Path
    """folder of the candidate rewards"""
    parent_best: Path
    """the parent's best"""
    parent_rewards: Path
    """folder of the parent's selected.py, feedback.json and history.csv"""
    selected_out: Out
    """selected.py to write"""
    feedback_out: Out
    """feedback.json to write"""
    history_out: Out
    """history.csv to write"""
    best_out: Out
    """folder to create"""
    min_gain: Annotated[float, Field(ge=0, le=1)]
    """closeness that a candidate must gain to replace its parent"""
    measure: MeasureKind
    """what good motion means: measure.kind of params.yaml"""
    field: str | None
    """of the measure: measure.field"""
    goal: float | None
    """of the measure: measure.goal"""


def main(args: Args) -> None:
    judgement = files.read_record(args.critique, Judgement)
    candidates = files.read_record(args.rollouts / "index.json", Candidates)
    before = files.read_record(args.parent_rewards / "feedback.json", Feedback)
    measure = measures.load(args.measure, args.field, args.goal)
    chosen = loop.choose(judgement, args.min_gain)

    with files.new_folder(args.best_out) as best:
        if chosen is None:
            shutil.copytree(args.parent_best, best, dirs_exist_ok=True)
            (best / files.SUMS).unlink()
            reward = args.parent_rewards / "selected.py"
            env_steps, training = 0, None
        else:
            shutil.copytree(args.rollouts / chosen, best, dirs_exist_ok=True)
            policy = files.verified(args.policies / f"{chosen}.pt")
            shutil.copy(policy, best / "policy.pt")
            reward = args.candidates / f"{chosen}.py"
            env_steps = files.load_tensors(policy)["about"]["env_steps"]
            curve = files.verified(args.policies / f"{chosen}.csv").read_text()
            training = loop.training(list(csv.DictReader(curve.splitlines())))

    feedback = loop.feedback(
        before, args.iteration, judgement, chosen, candidates,
        env_steps=env_steps, training=training,
    )  # fmt: skip
    name = chosen or ("kept" if judgement.candidates else "failed")
    history = (args.parent_rewards / "history.csv").read_text()
    files.write_text(args.selected_out, reward.read_text())
    files.write_record(args.feedback_out, feedback)
    files.write_text(args.history_out, loop.history(history, feedback, name, measure.figures))


if __name__ == "__main__":
    run_stage(main, Args)
