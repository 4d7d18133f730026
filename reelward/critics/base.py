"""What a critic looks at and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reelward.measures.base import Measure
from reelward.motion.record import Motion
from reelward.records import Criteria, Critique, Judgement, ModelSettings, Stats, Verdict


@dataclass(frozen=True)
class View:
    """One subject: its motion in figures, its contact sheet (JPEG; None after a fall at the start),
    and how its episodes went (None for the expert)."""

    motion: Motion
    sheet: bytes | None = None
    stats: Stats | None = None


@dataclass(frozen=True)
class Scene:
    """All that a critic may look at."""

    measure: Measure
    expert: View
    parent: View
    """The parent's best."""
    learners: Mapping[str, View]
    """The candidates' rollouts by name."""
    criteria: Criteria
    task: str
    iteration: str
    noise: float
    """Closeness that another training seed moves; a smaller gain is called the same."""
    model: ModelSettings
    words: Path
    """File of a person's critiques."""
    advance: Callable[[], None] = lambda: None
    """Called after each candidate."""


class Critic(Protocol):
    """Compares rollouts with the expert."""

    def describe(self, measure: Measure, expert: View, task: str, model: ModelSettings) -> Criteria:
        """What the critic will judge by, before it has seen a robot."""
        ...

    def critique(self, scene: Scene) -> Judgement:
        """A critique of each candidate. Raises InputError."""
        ...


def weighed(
    figures: Critique, words: Mapping[str, str | float], verdicts: Sequence[Verdict], lost: str = ""
) -> Critique:
    """The measured critique with a critic's words and verdict, `verdicts` as often as it was asked.

    The verdict is contested where the critic contradicts itself or the measure, or gave no answer
    (`lost` says why). A fall that was measured stays a fall.
    """
    word = verdicts[0] if len(set(verdicts)) == 1 else "cannot_tell"
    why = [lost] if lost else []
    if len(set(verdicts)) > 1:
        why.append(f"with the order swapped, the critic answered {', then '.join(verdicts)}")
    if {word, figures.measured_verdict} == {"better", "worse"}:
        why.append(f"the critic says {word}, the measure {figures.measured_verdict}")
    failure = "fall" if figures.failure == "fall" else words.get("failure", "none")
    update = {**words, "failure": failure, "verdict": word, "contested_because": tuple(why)}
    return figures.model_copy(update=update)
