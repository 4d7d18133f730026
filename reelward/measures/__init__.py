"""Measures: what good motion means. `load` is the only place that names them."""

from __future__ import annotations

from pathlib import Path

from reelward.measures.base import Measure
from reelward.measures.fitness import Fitness
from reelward.measures.gait import Gait
from reelward.records import MeasureKind
from reelward.runtime.errors import InputError
from reelward.runtime.validation import read_yaml


def read(params: Path) -> Measure:
    """The measure of a params.yaml. Raises InputError."""
    return load(**read_yaml(params)["measure"])


def load(
    kind: MeasureKind, field: str | None = None, goal: float | None = None, worst: float = 0.0
) -> Measure:
    """The measure of params.yaml's section `measure`. Raises InputError."""
    if kind == "gait":
        return Gait()
    if field is None or goal is None:
        raise InputError(
            "measure.kind = fitness: expected measure.field and measure.goal, got null"
        )
    return Fitness(field, goal, worst)
