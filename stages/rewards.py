"""Check each candidate and write it to where git keeps it.

reads   proposal.json
        loop.yaml       whether a person refused this iteration's rewards

writes  candidates/     c0.py ...: the rewards that compile and pass a trial in the jail; index.json:
                        all candidates with the numbers in their constants, or why one was refused

The other candidates keep their names when one is refused, and the iteration continues. When all are
refused, the parent's best stays.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from reelward.checking import RewardCheck, checked_all
from reelward.language import read_native
from reelward.records import Candidate, Candidates, CheckedCandidate, Proposal
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.words import show
from reelward.sim.robot import load_robot
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


def judged(line: CheckedCandidate, check: RewardCheck) -> CheckedCandidate:
    """The line with the candidate's figures, or with why it is refused."""
    if not check.ok:
        return line.failed("; ".join(f"line {e.line}: {e.message}" for e in check.errors))
    facts = {
        "file": f"{line.name}.py",
        "terms": tuple(check.terms),
        "period": check.period,
        "targets": dict(check.targets),
        "weights": dict(check.weights),
    }
    return line.model_copy(update=facts)


def main(args: Args) -> None:
    robot, native = load_robot(args.robot), read_native(args.native)
    proposal = files.read_record(args.proposal, Proposal)
    refusal = ledger.refused(args.ledger.read_text()).get(args.iteration)
    index = [unchecked(c, refusal) for c in proposal.candidates]
    pending = [i for i, line in enumerate(index) if not line.error]
    sources = [proposal.candidates[i].source for i in pending]
    checks = checked_all(sources, robot, native)
    for i, check in zip(pending, checks, strict=True):
        index[i] = judged(index[i], check)
    for line in index:
        if line.error:
            show(f"reelward rewards: {line.name} is refused: {line.error}", sys.stderr)
    with files.new_folder(args.out) as out:
        for candidate, line in zip(proposal.candidates, index, strict=True):
            if line.file:
                files.write_text(out / line.file, candidate.source)
        files.write_record(out / "index.json", Candidates(candidates=tuple(index)))


if __name__ == "__main__":
    run_stage(main, Args)
