"""Check each candidate and unpack it to where git keeps it.

reads   proposal.json
        loop.yaml       whether a person refused this iteration's rewards
writes  candidates/     c0.py ... that compile and keep the contract, as tried in the jail;
                        index.json: all of them, with the figures in their constants, or why one
                        was refused

A refused candidate shifts nothing: the others keep their names, and the iteration goes on. When
all are refused the index says so, and the parent's best stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reelward.checking import checked
from reelward.language import compile_reward, native_terms, read_native
from reelward.language.native import Settings
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.sim.robot import Robot, load_robot
from reelward.studies import ledger


@dataclass(frozen=True)
class Args:
    proposal: Path
    """proposal.json"""
    out: Out
    """folder to create"""
    robot: str
    """robots/NAME"""
    ledger: Path
    """loop.yaml"""
    iteration: str
    """name of this iteration"""
    native: Path
    """params.yaml: its section `native` names the user's own terms"""


def entry(
    candidate: dict[str, Any],
    robot: Robot,
    refused: str | None = None,
    native: Settings | None = None,
) -> dict[str, Any]:
    """The candidate's line of the index; `file` is null when the reward is refused, be it by a
    person for the reason `refused`."""
    kept = {key: candidate[key] for key in ("name", "start", "seed", "note")}
    if error := candidate.get("error") or (refused and f"a person refused it: {refused}"):
        return kept | {"file": None, "error": error}
    verdict = checked(candidate["source"], robot, native)
    if not verdict["ok"]:
        said = "; ".join(f"line {e['line']}: {e['message']}" for e in verdict["errors"])
        return kept | {"file": None, "error": said}
    reward = compile_reward(candidate["source"], robot.fields, native=native_terms(native or {}))
    return kept | {
        "file": f"{candidate['name']}.py",
        "error": None,
        "terms": reward.terms,
        "period": reward.period,
        "targets": figures(reward.constants.get("TARGET")),
        "weights": figures(reward.constants.get("WEIGHT")),
    }


def figures(constant: Any) -> dict[str, float]:
    """The named numbers of a module constant; a free author may have made it something else."""
    named = constant.items() if isinstance(constant, dict) else ()
    return {str(k): v for k, v in named if isinstance(v, int | float) and math.isfinite(v)}


def main(args: Args) -> None:
    robot = load_robot(args.robot)
    proposal = files.read_json(args.proposal)
    candidates = proposal["candidates"]
    refused = ledger.refused(args.ledger.read_text()).get(args.iteration)
    native = read_native(args.native)
    index = [entry(c, robot, refused, native) for c in candidates]
    with files.new_folder(args.out) as out:
        for candidate, line in zip(candidates, index, strict=True):
            if line["file"]:
                files.write_text(out / line["file"], candidate["source"])
        files.write_json(
            out / "index.json", {"alternate": proposal["alternate"], "candidates": index}
        )


if __name__ == "__main__":
    run_stage(main, Args)
