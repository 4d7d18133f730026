"""The film of a rollout."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from reelward.motion.video import encode_mp4
from reelward.render import Renderer
from reelward.sim.robot import Robot

FPS = 25.0
SIZE = (480, 360)


@dataclass(frozen=True)
class States:
    """What a film is drawn from: joint coordinates `qpos [T, nq]`, a row every `dt` seconds."""

    qpos: np.ndarray
    dt: float

    def pack(self) -> bytes:
        """As npz."""
        file = io.BytesIO()
        np.savez_compressed(file, qpos=self.qpos, dt=self.dt)
        return file.getvalue()

    @classmethod
    def unpack(cls, data: bytes) -> States:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(arrays["qpos"], float(arrays["dt"]))


def video(robot: Robot, states: States, seconds: float) -> bytes:
    """The first `seconds` as an mp4."""
    every = max(1, round(1 / (FPS * states.dt)))
    rows = states.qpos[: round(seconds / states.dt) : every]
    camera = Renderer(robot, *SIZE)
    return encode_mp4((camera.frame(row) for row in rows), 1 / (states.dt * every))
