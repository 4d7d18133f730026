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
import io
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from reelward.measures.descriptors import UNITS
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage

COLUMNS = (
    "iteration", "candidate", "closeness", "survival", "verdict", "env_steps", *UNITS,
)  # fmt: skip


HEADINGS = ("wrong", "rewrite", "remove", "add")
MOMENTS = 10
"""points of a learning curve that an author is shown"""


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


def choose(critique: dict[str, Any], min_gain: float) -> str | None:
    """Name of the candidate that replaces the parent's best, or None.

    A candidate that fails a gate loses to any that passes; among equals closeness decides, and the
    critic must not have called it worse. Where the critic's word is contested it counts for
    nothing, either way: the measure alone must say better, and by more than the noise.
    """
    parent = critique["parent"]
    rank = {
        name: (c["eligible"], c["closeness"])
        for name, c in critique["candidates"].items()
        if (c["measured_verdict"] == "better" if c.get("contested") else c["verdict"] != "worse")
    }
    best = max(rank, key=lambda name: rank[name], default=None)
    if best is None:
        return None
    eligible, closeness = rank[best]
    gains = closeness > parent["closeness"] + min_gain
    return best if (eligible, gains) > (parent["eligible"], False) else None


def region(before: float, found: bool) -> float:
    """Where the author may move next: half of it after an iteration that brought nothing."""
    return min(1.0, 1.2 * before) if found else before / 2


def trials(
    before: list[dict[str, Any]], iteration: str, parent: str,
    index: list[dict[str, Any]], critique: dict[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """Every candidate so far: what it aimed at, what its training reached, whose it went on from."""
    new = []
    for c in index:
        if (judged := critique["candidates"].get(c["name"])) is None:
            continue
        reached = {name: row["learner"] for name, row in judged["differences"].items()}
        targets = c["targets"] | ({"period": c["period"]} if c["period"] else {})
        new.append(
            {"name": f"{iteration}/{c['name']}", "parent": parent, "start": c["start"]}
            | {"note": c["note"], "targets": targets, "weights": c["weights"]}
            | {"descriptors": reached, "closeness": judged["closeness"]}
            | {"eligible": judged["eligible"], "failure": judged["failure"]}
        )
    return before + new


def learning(curve: list[dict[str, str]]) -> dict[str, Any]:
    """A learning curve at a few moments, and for each term its least, mean and greatest figure and
    its share of all that the terms moved."""

    def column(name: str) -> list[float]:
        return [float(line[name]) for line in curve]

    def at_moments(values: list[float]) -> list[float | None]:
        last, count = len(values) - 1, min(MOMENTS, len(values))
        shown = [values[round(last * (i + 1) / count)] for i in range(count)]
        return [v if math.isfinite(v) else None for v in shown]

    terms = {n.removeprefix("term/"): column(n) for n in curve[0] if n.startswith("term/")}
    moved = {name: sum(map(abs, values)) for name, values in terms.items()}
    total = sum(moved.values()) or 1.0
    return {
        "env_steps": at_moments(column("env_steps")),
        "return": at_moments(column("return")),
        "episode_length": at_moments(column("episode_length")),
        "terms": {
            name: {
                "min": min(values), "mean": float(f"{sum(values) / len(values):.6g}"),
                "max": max(values), "share": round(moved[name] / total, 4),
                "points": at_moments(values),
            }
            for name, values in terms.items()
        },
    }  # fmt: skip


def row(iteration: str, name: str, judged: dict[str, Any], env_steps: int) -> dict[str, Any]:
    """The iteration's line of the history."""
    figures = {
        d: "" if (value := judged["differences"].get(d, {}).get("learner")) is None else value
        for d in UNITS
    }
    keys = ("closeness", "survival", "verdict")
    head = {"iteration": iteration, "candidate": name, "env_steps": env_steps}
    return head | {k: judged[k] for k in keys} | figures


def main(args: Args) -> None:
    critique = files.read_json(args.critique)
    index = files.read_json(args.candidates / "index.json")["candidates"]
    ended = files.read_json(args.rollouts / "index.json")["candidates"]
    before = files.read_json(args.parent_rewards / "feedback.json")
    history = (args.parent_rewards / "history.csv").read_text()
    name = choose(critique, args.min_gain)

    with files.new_folder(args.best_out) as best:
        if name is None:
            shutil.copytree(args.parent_best, best, dirs_exist_ok=True)
            (best / files.SUMS).unlink()
            reward = args.parent_rewards / "selected.py"
            said = {h: v for h, v in before.get("critique", {}).items() if h in HEADINGS}
            selected, judged = before.get("selected", ""), critique["parent"] | said
            training = before.get("training")
            env_steps = before.get("env_steps", 0)
        else:
            shutil.copytree(args.rollouts / name, best, dirs_exist_ok=True)
            policy = files.verified(args.policies / f"{name}.pt")
            shutil.copy(policy, best / "policy.pt")
            reward = args.candidates / f"{name}.py"
            selected, judged = f"{args.iteration}/{name}", critique["candidates"][name]
            env_steps = files.load_tensors(policy)["about"]["env_steps"]
            curve = files.verified(args.policies / f"{name}.csv").read_text()
            training = learning(list(csv.DictReader(curve.splitlines())))

    files.write_text(args.selected_out, reward.read_text())
    kept = "kept" if critique["candidates"] else "failed"
    line = row(args.iteration, name or kept, judged, env_steps)
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(line)
    files.write_text(args.history_out, history + text.getvalue())
    files.write_json(
        args.feedback_out,
        {
            "iteration": args.iteration,
            "iteration_number": before.get("iteration_number", -1) + 1,
            "selected": selected,
            "env_steps": env_steps,
            "region": region(before.get("region", 1.0), name is not None or not before),
            "critique": {k: v for k, v in judged.items() if k != "differences"},
            "descriptors": {d: r["learner"] for d, r in judged["differences"].items()},
            "differences": judged["differences"],
            "training": training,
            "refused": {c["name"]: c["error"] for c in ended if c["error"]},
            "trials": trials(
                before.get("trials", []), args.iteration, before.get("selected", ""),
                index, critique,
            ),
        },
    )  # fmt: skip


if __name__ == "__main__":
    run_stage(main, Args)
