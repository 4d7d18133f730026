"""The bench of whole loops runs the product's own loop, and its statistics are those of the tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from motions import EXPERT

sys.path.insert(0, str(ROOT / "bench"))
import loop_quality  # noqa: E402

TINY = {
    "env_steps": 2048, "warm_env_steps": 1024, "num_envs": 16, "num_steps": 16, "hidden": 8,
    "num_minibatches": 2, "update_epochs": 1,
}  # fmt: skip


@pytest.mark.parametrize(("count", "quantile"), [(2, 6.314), (5, 2.132), (12, 1.796)])
def test_the_interval_is_students(count: int, quantile: float) -> None:
    """Quantiles for 90 % from the printed table of Student's t."""
    values = np.arange(count, dtype=float)
    mean, low, high = loop_quality.interval(list(values))
    half = quantile * values.std(ddof=1) / np.sqrt(count)
    assert mean == values.mean()
    assert (low, high) == pytest.approx((mean - half, mean + half), rel=1e-3)


def test_a_study_of_two_iterations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = loop_quality.options() | TINY
    args = loop_quality.Args(
        Path(), iterations=1, candidates=2, processes=2, scratch=tmp_path / "checkpoints"
    )
    looked = []

    def look(policy: Path, source: str) -> dict[str, float]:
        looked.append(source)
        return {"seen": float(policy.is_file())}

    first, second = loop_quality.study("measured", 1, EXPERT, args, settings, look)
    assert first["notes"] == {"c0": "the goal alone", "c1": "goal and gait clock"}
    assert first["goal"] == {"seen": 1.0} and first["seen"] == 1.0
    assert set(first["tried"]) == set(second["tried"]) == {"c0", "c1"}
    assert second["closeness"] >= first["closeness"] and "clock" not in looked[0]
