"""What a rollout is drawn from, and its film."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reelward.motion.video import encode_mp4
from reelward.render import Renderer
from reelward.sim.gymnasium_robot import GymnasiumRobot
from reelward.sim.robot import AnyRobot

FPS = 25.0
SIZE = (480, 360)


@dataclass(frozen=True)
class States:
    """An episode of a robot with an MJCF: joint coordinates `qpos [T, nq]`, a row every `dt` seconds."""

    qpos: np.ndarray
    dt: float


@dataclass(frozen=True)
class Replay:
    """An episode of a Gymnasium environment: the seed of its reset and the `actions [T, ...]` that
    give it again."""

    seed: int
    actions: np.ndarray
    dt: float


Recording = States | Replay


def pack(recording: Recording) -> bytes:
    """As npz."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **vars(recording))
    return file.getvalue()


def unpack(data: bytes) -> Recording:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        if "qpos" in arrays:
            return States(arrays["qpos"], float(arrays["dt"]))
        return Replay(int(arrays["seed"]), arrays["actions"], float(arrays["dt"]))


def pictures(
    robot: AnyRobot, recording: Recording, steps: list[int], size: tuple[int, int] = SIZE
) -> Iterator[np.ndarray]:
    """`[H, W, 3]` uint8 of the states after `steps`, in rising order. A Gymnasium environment is drawn
    in its own size."""
    if isinstance(recording, Replay):
        assert isinstance(robot, GymnasiumRobot)
        from reelward.sim.gymnasium_env import (
            GymnasiumEnv,
        )  # loads torch, which nothing else here needs

        env = GymnasiumEnv(robot, 1, seed=0)
        yield from env.replay(recording.seed, recording.actions, steps)
        return
    assert not isinstance(robot, GymnasiumRobot)
    camera = Renderer(robot, *size)
    camera.fit(camera.extent(recording.qpos[steps]))
    for step in steps:
        yield camera.frame(recording.qpos[step])


def drawable(robot: AnyRobot) -> bool:
    """Whether there are pictures of it: an environment of Gymnasium must declare them."""
    return not isinstance(robot, GymnasiumRobot) or robot.picture is not None


def video(robot: AnyRobot, recording: Recording, seconds: float) -> bytes:
    """The first `seconds` as an mp4."""
    every = max(1, round(1 / (FPS * recording.dt)))
    length = len(recording.qpos if isinstance(recording, States) else recording.actions)
    steps = list(range(0, min(length, round(seconds / recording.dt)), every))
    return encode_mp4(pictures(robot, recording, steps), 1 / (recording.dt * every))
