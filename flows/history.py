"""The history of a study: what its iterations came to, and the message that commits one."""

from __future__ import annotations

import csv
from pathlib import Path

from reelward.studies import ledger
from reelward.studies.settings import CRITIQUES
from reelward.studies.study import LEDGER

PATHS = ("params.yaml", "loop.yaml", "dvc.lock", "rewards", "metrics.json", CRITIQUES)
"""what an iteration commits"""
REWARDS = Path("rewards")

History = list[dict[str, str]]
"""Rows of a history.csv, one an iteration."""


def history(key: str) -> History:
    """The history up to an iteration."""
    return list(csv.DictReader((REWARDS / key / "history.csv").read_text().splitlines()))


def newest() -> History:
    """The history up to the iteration that is published."""
    return history(ledger.last(LEDGER.read_text()))


def message(key: str, parent: str, rows: History, reward: str) -> tuple[str, dict[str, str]]:
    """Subject and trailers of an iteration's commit; `reward` is the digest of its reward."""
    closeness = float(rows[-1]["closeness"])
    gain = f" ({closeness - float(rows[-2]['closeness']):+.3f})" if len(rows) > 1 else ""
    return f"{key}: {rows[-1]['candidate']}, closeness {closeness:.3f}{gain}", {
        "Reelward-Iteration": key,
        "Reelward-Candidate": rows[-1]["candidate"],
        "Reelward-Parent": parent,
        "Reelward-Closeness": f"{closeness:.6f}",
        "Reelward-Reward": f"sha256:{reward}",
    }
