"""Small plots of a page as SVG points: learning curves, and the legs through the gait cycle."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reelward.motion.course import curve
from reelward.motion.record import Motion

CURVE_POINTS = 160
"""Most points of a learning curve."""
TRAINER_COLUMNS = ("env_steps", "falls", "approx_kl", "clip_fraction", "value_loss", "std")
"""Columns of a learning curve that describe PPO, not the learner."""


@dataclass(frozen=True)
class Plot:
    """Lines in a box of 200 x 48, as SVG points."""

    title: str
    lines: dict[str, str]
    low: float
    high: float
    unit: str = ""
    note: str = ""
    last: float | None = None


def plot(title: str, lines: dict[str, tuple[np.ndarray, np.ndarray]], **details: Any) -> Plot:
    """Lines of x [P] in 0 to 1 and y [P], scaled together to the height of the box."""
    values = np.concatenate([y for _, y in lines.values()])
    low, high = float(values.min()), float(values.max())
    scale = 48 / ((high - low) or 1.0)
    points = {
        name: " ".join(f"{200 * a:.1f},{(high - b) * scale:.1f}" for a, b in zip(x, y, strict=True))
        for name, (x, y) in lines.items()
    }
    return Plot(title, points, low, high, **details)


def learning_curves(path: Path) -> tuple[int, list[Plot]]:
    """Env-steps of a training, and its curves: return, episode length, each term of the reward."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    total = float(rows[-1]["env_steps"])
    rows = rows[:: math.ceil(len(rows) / CURVE_POINTS)] + rows[-1:]
    steps = np.array([float(r["env_steps"]) for r in rows]) / total
    plots = []
    for name in (n for n in rows[0] if n not in TRAINER_COLUMNS):
        values = np.array([float(r[name]) for r in rows])
        finite = np.isfinite(values)
        if finite.any():
            note = "a step" if "/" in name else "steps" if name == "episode_length" else ""
            line = {"learner": (steps[finite], values[finite])}
            title = name.removeprefix("term/").replace("_", " ")
            plots.append(plot(title, line, note=note, last=float(values[finite][-1])))
    return int(total), plots


def cycle_plots(expert: Motion, learner: Motion) -> list[Plot]:
    """Thigh and knee of each leg of the expert through its cycle, from its landing on, and the height
    of the hip; the learner's beside them."""
    phase = np.linspace(0, 1, 51)
    units = {"thigh": (1.0, "degrees"), "knee": (1.0, "degrees"), "hip": (100.0, "% of the leg")}
    first = next(iter(expert.courses), None)
    only = next(iter(learner.courses.values()), None) if len(expert.courses) == 1 else None
    plots = []
    for leg, course in expert.courses.items():
        both = {"expert": course, "learner": learner.courses.get(leg, only)}
        for part, (scale, unit) in units.items():
            if part == "hip" and leg != first:
                continue
            lines = {
                name: (phase, scale * curve(getattr(c, part), phase + c.landing))
                for name, c in both.items()
                if c
            }
            title = "hip" if part == "hip" else f"{leg} {part}"
            plots.append(plot(title, lines, unit=unit))
    return plots
