"""Where real clips and pose weights are, and small films made here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[1]


def real(name: str) -> Path:
    """A real clip, or the test is skipped."""
    folder = Path(os.environ.get("REELWARD_VIDEOS", ROOT.parent / "shared/videos"))
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not at hand: set REELWARD_VIDEOS")
    return folder / name


def weights() -> Path:
    """The folder of the pose model, brought by its own stage where it is not at hand."""
    folder = Path(os.environ.get("REELWARD_POSE", ROOT / "scratch/pose"))
    if not (folder / "SHA256SUMS").is_file():
        options = yaml.safe_load((ROOT / "params.yaml").read_text())["pose"]
        flags = [word for key, value in options.items() for word in (f"--{key}", value)]
        command = [sys.executable, "-m", "stages.pose", "--out", str(folder), *flags]
        subprocess.run(command, cwd=ROOT, check=True)
    return folder


def scenery(high: int, wide: int, seed: int = 0) -> np.ndarray:
    """A background with corners, RGB."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (high // 8, wide // 8, 3), dtype=np.uint8)
    return cv2.resize(small, (wide, high), interpolation=cv2.INTER_CUBIC)


def beast(phase: float, flight: float = 0.25, size: tuple[int, int] = (180, 320)) -> np.ndarray:
    """A dark four-legged outline before a plain wall, above a dark ground, RGB. The legs swing once
    a cycle and hang clear of the ground for the first `flight` of it."""
    image = np.full((*size, 3), 225, np.uint8)
    high, wide = size
    ground = high - 12
    image[ground:] = 40
    turn = 2 * np.pi * phase
    middle = (wide // 2, high // 2 + round(4 * np.sin(turn)))
    cv2.ellipse(image, middle, (70, 28), 0, 0, 360, (30, 30, 30), -1)
    for k, x in enumerate((-50, -35, 35, 50)):
        swing = round(25 * np.sin(turn + (0.4, 0.8, 3.5, 3.9)[k]))
        foot = ground - 24 if phase % 1 < flight else ground + 2
        start = (middle[0] + x, middle[1])
        cv2.line(image, start, (middle[0] + x + swing, foot), (30, 30, 30), 9)
    return image
