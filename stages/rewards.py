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

from reelward.checking import checked
from reelward.language import compile_reward, native_terms, read_native
from reelward.language.native import Settings
from reelward.records import Candidate, Candidates, CheckedCandidate, Proposal
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


def check(
    candidate: Candidate, robot: Robot, native: Settings, refusal: str | None
) -> CheckedCandidate:
    """The candidate's line of the index. `refusal` is a person's reason for refusing all of them."""
    line = CheckedCandidate(
        name=candidate.name,
        start=candidate.start,
        seed=candidate.seed,
        note=candidate.note,
        file=None,
        error=candidate.error or (refusal and f"a person refused it: {refusal}"),
    )
    if line.error:
        return line
    verdict = checked(candidate.source, robot, native)
    if not verdict["ok"]:
        errors = (f"line {e['line']}: {e['message']}" for e in verdict["errors"])
        return line.failed("; ".join(errors))
    reward = compile_reward(candidate.source, robot.fields, native=native_terms(native))
    facts = {
        "file": f"{candidate.name}.py",
        "terms": tuple(reward.terms),
        "period": reward.period,
        "targets": figures(reward.constants.get("TARGET")),
        "weights": figures(reward.constants.get("WEIGHT")),
    }
    return line.model_copy(update=facts)


def figures(constant: object) -> dict[str, float]:
    """The named numbers of a module constant; a model may have made it something else."""
    named = constant.items() if isinstance(constant, dict) else ()
    return {str(k): v for k, v in named if isinstance(v, int | float) and math.isfinite(v)}


def main(args: Args) -> None:
    robot, native = load_robot(args.robot), read_native(args.native)
    proposal = files.read_record(args.proposal, Proposal)
    refusal = ledger.refused(args.ledger.read_text()).get(args.iteration)
    index = tuple(check(c, robot, native, refusal) for c in proposal.candidates)
    with files.new_folder(args.out) as out:
        for candidate, line in zip(proposal.candidates, index, strict=True):
            if line.file:
                files.write_text(out / line.file, candidate.source)
        files.write_record(out / "index.json", Candidates(candidates=index))


if __name__ == "__main__":
    run_stage(main, Args)
