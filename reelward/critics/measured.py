"""The measured critic: no language model. It says in words what the descriptors say in numbers."""

from __future__ import annotations

from typing import Any

from reelward.measures.descriptors import SPECS
from reelward.measures.gait import compare
from reelward.motion.record import Motion
from reelward.records import Comparison

HEADING = 300
"""most characters under one heading"""


def differences(expert: Motion, learner: Motion) -> dict[str, dict[str, float | None]]:
    """For each figure that counts, expert, learner and their difference in tolerances, worst first."""
    rows = compare(expert, learner).usable_rows
    return {r.name: {"expert": r.expert, "learner": r.learner, "off": r.off} for r in rows}


def words(closeness: Comparison, rows: dict[str, dict[str, float | None]]) -> dict[str, str]:
    """The paper's four headings (arXiv 2410.09286), from numbers alone."""
    said = {}
    for name, row in rows.items():
        off = row["off"]
        if off is None:
            said[name] = f"{name} cannot be measured on the learner"
        elif abs(off) >= 0.2:
            text = SPECS[name].too_large if off > 0 else SPECS[name].too_small
            said[name] = f"{text} ({name} {row['learner']:.3g}, expert {row['expert']:.3g})"
    worst = list(said)[:3]
    fell = closeness.gates["survival"] is False
    wrong = ["falls before the time is up"] * fell + [said[name] for name in worst]
    return {
        "wrong": _cut("; ".join(wrong) or "nothing that the descriptors show"),
        "rewrite": _cut(f"move the targets of {', '.join(worst)}" if worst else ""),
        "remove": "",
        "add": _cut(f"a term for {worst[0]} where there is none" if worst else ""),
    }


def _cut(text: str) -> str:
    return text if len(text) <= HEADING else text[: HEADING - 1] + "…"


def critique(expert: Motion, learner: Motion, parent: Motion, noise: float) -> dict[str, Any]:
    """The critique of one candidate against the parent's best. `noise` is the closeness that
    another training seed moves."""
    mine, before = compare(expert, learner), compare(expert, parent)
    gain = mine.closeness - before.closeness
    rows = differences(expert, learner)
    if mine.eligible != before.eligible:
        verdict = "better" if mine.eligible else "worse"
    else:
        verdict = "better" if gain > noise else "worse" if gain < -noise else "same"
    return {
        "closeness": round(mine.closeness, 6),
        "survival": learner.survival,
        "eligible": mine.eligible,
        "gates": mine.gates,
        "parts": {row.name: row.part for row in mine.rows if row.usable},
        **words(mine, rows),
        "failure": mine.failure,
        "verdict": verdict,
        "confidence": round(min(1.0, abs(gain) / (2 * noise)), 3) if noise else 1.0,
        "differences": rows,
    }
