"""Check each candidate and write it to where git keeps it.

reads   proposal.json
        loop.yaml       whether a person refused this iteration's rewards

writes  candidates/     c0.py ...: the rewards that compile and pass a trial in the jail; index.json:
                        all candidates with the numbers in their constants, or why one was refused

The other candidates keep their names when one is refused, and the iteration continues. When all are
refused, the parent's best stays.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

from reelward.checking import RewardCheck, checked_all
from reelward.language import compile_reward, native_terms, read_native
from reelward.language.native import Settings
from reelward.records import Candidate, Candidates, CheckedCandidate, Proposal
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.sim.robot import AnyRobot, load_robot
from reelward.studies import ledger


@dataclass(frozen=True)
class Args:
    proposal: Path
    """proposal.json of this iteration."""
    out: Out
    """Folder to create."""
    robot: str
    """Name of a robot in robots/."""
    ledger: Path
    """The ledger, loop.yaml."""
    iteration: str
    """Name of this iteration, such as iter-02."""
    native: Path
    """params.yaml, whose section `native` names the user's own reward terms."""


def unchecked(candidate: Candidate, refusal: str | None) -> CheckedCandidate:
    """The candidate's line of the index before its check. `refusal` is a person's reason for refusing
    all candidates."""
    return CheckedCandidate(
        name=candidate.name,
        start=candidate.start,
        number=candidate.number,
        note=candidate.note,
        file=None,
        error=candidate.error or (refusal and f"a person refused it: {refusal}"),
    )


def judged(
    line: CheckedCandidate, source: str, check: RewardCheck, robot: AnyRobot, native: Settings
) -> CheckedCandidate:
    """The line with the candidate's figures, or with why it is refused."""
    if not check.ok:
        return line.failed("; ".join(f"line {e.line}: {e.message}" for e in check.errors))
    reward = compile_reward(source, robot.fields, native=native_terms(native))
    facts = {
        "file": f"{line.name}.py",
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
    index = [unchecked(c, refusal) for c in proposal.candidates]
    pending = [i for i, line in enumerate(index) if not line.error]
    sources = [proposal.candidates[i].source for i in pending]
    checks = checked_all(sources, robot, native)
    for i, source, check in zip(pending, sources, checks, strict=True):
        index[i] = judged(index[i], source, check, robot, native)
    for line in index:
        if line.error:
            print(f"reelward rewards: {line.name} is refused: {line.error}", file=sys.stderr)
    with files.new_folder(args.out) as out:
        for candidate, line in zip(proposal.candidates, index, strict=True):
            if line.file:
                files.write_text(out / line.file, candidate.source)
        files.write_record(out / "index.json", Candidates(candidates=tuple(index)))


if __name__ == "__main__":
    run_stage(main, Args)
