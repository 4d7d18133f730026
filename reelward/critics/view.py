"""What every critic looks at, and how its word is held against the measure.

A critic is a function from three views (the expert, a candidate, the parent's best) to a critique:
the measured one's closeness, gates and differences, and words, failure and verdict of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reelward.motion.record import Motion, from_json
from reelward.runtime import files

HEADINGS = ("wrong", "rewrite", "remove", "add")


@dataclass(frozen=True)
class View:
    """One subject: its motion in numbers, its contact sheet (JPEG, none after a fall at once), and
    how its episodes went (none for the expert)."""

    motion: Motion
    sheet: bytes | None
    stats: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> View:
        sheet, stats = folder / "sheet.jpg", folder / "stats.json"
        return cls(
            from_json(files.read_json(folder / "motion.json")),
            sheet.read_bytes() if sheet.is_file() else None,
            files.read_json(stats) if stats.is_file() else {},
        )


def weighed(
    measured: Mapping[str, Any], said: Mapping[str, Any], verdicts: Sequence[str], lost: str = ""
) -> dict[str, Any]:
    """A critique from the measured one and what a critic said, `verdicts` as often as it was asked.

    It is contested where the critic contradicts itself or the measure, or gave no answer (`lost`
    says why): then its word selects nothing. A fall that was measured is a fall.
    """
    verdict = verdicts[0] if len(set(verdicts)) == 1 else "cannot_tell"
    why = [lost] if lost else []
    if len(set(verdicts)) > 1:
        why.append(f"asked again with the order swapped it said {', then '.join(verdicts)}")
    if {verdict, measured["verdict"]} == {"better", "worse"}:
        why.append(f"the critic says {verdict}, the measure {measured['verdict']}")
    return {
        **measured, **said,
        "failure": "fall" if measured["failure"] == "fall" else said.get("failure", "none"),
        "verdict": verdict,
        "measured_verdict": measured["verdict"],
        "contested": bool(why),
        "contested_because": why,
    }  # fmt: skip
