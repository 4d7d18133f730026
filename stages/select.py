"""Select the best candidate, or keep the parent's best where no candidate beats it.

reads   critique.json, rollouts/, policies/ (with their learning curves), candidates/
        of the parent   best/, selected.py, feedback.json, history.csv

writes  selected.py     the reward to continue from
        feedback.json   what the iteration brought, for the next author
        history.csv     the parent's history and a line for this iteration
        best/           the policy that belongs to the reward, with its figures

The result is the pair of reward and policy. The policy continued its parent's training, so the
reward alone, trained from scratch, need not give the same policy.
"""

from __future__ import annotations

import csv
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward import loop, measures
from reelward.policy import Policy
from reelward.records import Candidates, Feedback, Judgement, Stats
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.words import show


@dataclass(frozen=True)
class Args:
    iteration: str
    """Name of this iteration, such as iter-02."""
    critique: Path
    """critique.json of this iteration."""
    rollouts: Path
    """Folder of the rollouts."""
    policies: Path
    """Folder of the policies."""
    candidates: Path
    """Folder of the candidate rewards."""
    parent_best: Path
    """Folder of the parent's best."""
    parent_rewards: Path
    """Folder of the parent's selected.py, feedback.json and history.csv."""
    selected_out: Out
    """selected.py to write."""
    feedback_out: Out
    """feedback.json to write."""
    history_out: Out
    """history.csv to write."""
    best_out: Out
    """Folder to create."""
    min_gain: Annotated[float, Field(ge=0, le=1)]
    """Closeness that a candidate must gain to replace the parent's best."""
    measure: Path
    """params.yaml, whose section `measure` says how motion is measured."""


def main(args: Args) -> None:
    judgement = files.read_record(args.critique, Judgement)
    candidates = files.read_record(args.rollouts / "index.json", Candidates)
    before = files.read_record(args.parent_rewards / "feedback.json", Feedback)
    measure = measures.read(args.measure)
    chosen = loop.choose(judgement, args.min_gain)
    stats = [
        files.read_record(args.rollouts / name / "stats.json", Stats)
        for name in judgement.candidates
    ]
    advice = loop.advice(
        judgement,
        measure,
        lived_s=[seconds for s in stats for seconds in s.lived_s],
        kept=0 if chosen else loop.kept(before),
    )
    if advice:
        show(f"reelward select: {advice}", sys.stderr)

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
            env_steps = Policy.load(policy).about.env_steps
            curve = files.verified(args.policies / f"{chosen}.csv").read_text()
            training = loop.training(list(csv.DictReader(curve.splitlines())))

    feedback = loop.feedback(
        before, args.iteration, judgement, chosen, candidates,
        env_steps=env_steps, training=training, advice=advice,
    )  # fmt: skip
    name = chosen or ("kept" if judgement.candidates else "failed")
    history = (args.parent_rewards / "history.csv").read_text()
    files.write_text(args.selected_out, reward.read_text())
    files.write_record(args.feedback_out, feedback)
    files.write_text(args.history_out, loop.history(history, feedback, name, measure.figures))


if __name__ == "__main__":
    run_stage(main, Args)
