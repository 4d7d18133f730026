"""The measured critic: no language model. It says in words what the descriptors say in numbers."""

from __future__ import annotations

from typing import Any

from reelward.motion.closeness import Closeness, compare, tolerance
from reelward.motion.descriptors import measurable
from reelward.motion.record import Motion

HEADING = 300
"""most characters under one heading"""

PLAIN = {
    "speed": ("too slow", "too fast"),
    "cadence": ("steps too seldom", "steps too often"),
    "step": ("steps too short", "steps too long"),
    "height": ("the hip is too low", "the hip is too high"),
    "bob": ("the hip moves too little up and down", "the hip moves too much up and down"),
    "knee": ("the knee bends too little", "the knee bends too much"),
    "thigh": ("the thigh swings too little", "the thigh swings too far"),
    "duty": ("the feet stand too briefly", "the feet stand too long"),
    "airborne": ("never leaves the ground", "leaves the ground"),
    "lag": ("the legs do not alternate", "the legs do not alternate"),
    "lean": ("leans back", "leans forward"),
    "sway": ("the trunk is too stiff", "the trunk sways"),
    "duty_skew": (
        "stands on the right leg too briefly beside the left",
        "stands on the left leg too briefly beside the right",
    ),
    "knee_skew": (
        "the right knee bends too little beside the left",
        "the left knee bends too little beside the right",
    ),
    "thigh_skew": (
        "the right thigh swings too little beside the left",
        "the left thigh swings too little beside the right",
    ),
}
"""how to say that a figure is too small, too large"""

FAILURES = (
    ("survival", "fall"),
    ("airborne", "hop"),
    ("speed", "wrong_speed"),
    ("alternation", "no_alternation"),
)
"""which failed gate is named first"""


def differences(expert: Motion, learner: Motion) -> dict[str, dict[str, float | None]]:
    """For each usable descriptor of the expert that the learner's body could show both figures and
    their difference in tolerances, worst first; None where the learner shows none."""
    rows: dict[str, dict[str, float | None]] = {}
    able = measurable(learner.keypoints)
    for name, e in expert.descriptors.items():
        if name not in able or not e.usable or e.value is None:
            continue
        mine = learner.descriptors[name]
        value = mine.value if mine.usable else None
        off = None if value is None else round((value - e.value) / tolerance(name, e), 4)
        rows[name] = {"expert": e.value, "learner": value, "off": off}
    return dict(
        sorted(rows.items(), key=lambda r: -abs(r[1]["off"] if r[1]["off"] is not None else 9))
    )


def words(closeness: Closeness, rows: dict[str, dict[str, float | None]]) -> dict[str, str]:
    """The paper's four headings (arXiv 2410.09286), from numbers alone."""
    said = {}
    for name, row in rows.items():
        off = row["off"]
        if off is None:
            said[name] = f"{name} cannot be measured on the learner"
        elif abs(off) >= 0.2:
            text = PLAIN[name][off > 0]
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
    gain = mine.value - before.value
    rows = differences(expert, learner)
    if mine.eligible != before.eligible:
        verdict = "better" if mine.eligible else "worse"
    else:
        verdict = "better" if gain > noise else "worse" if gain < -noise else "same"
    failed = [name for gate, name in FAILURES if mine.gates.get(gate) is False]
    return {
        "closeness": round(mine.value, 6),
        "survival": learner.survival,
        "eligible": mine.eligible,
        "gates": mine.gates,
        "parts": {name: round(part, 6) for name, part in mine.parts.items()},
        **words(mine, rows),
        "failure": failed[0] if failed else "none",
        "verdict": verdict,
        "confidence": round(min(1.0, abs(gain) / (2 * noise)), 3) if noise else 1.0,
        "differences": rows,
    }
