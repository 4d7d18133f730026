"""Rollouts: episodes of a finished policy, measured with the expert's ruler and filmed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from reelward.language import Reward
from reelward.measures.base import LEAST_S, START_UP_S, Episodes
from reelward.measures.gait import Gait
from reelward.motion.cycle import Pick, best_cycle, by_energy, gait_signal, landings, phases
from reelward.motion.record import Motion, to_json
from reelward.motion.sheet import Tile, body_height, sheet
from reelward.motion.track import Track, pack
from reelward.motion.video import encode_jpeg, encode_mp4
from reelward.policy import Policy
from reelward.render import Renderer
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.robot import Robot

FILM_FPS = 25.0
FILM_SIZE = (480, 360)
TILES = 8
TILE_SIDE = 320


@torch.no_grad()
def run(
    robot: Robot, policy: Policy, reward: Reward | None, *, episodes: int, seconds: float, seed: int
) -> Episodes:
    """Episodes under the policy's mean action, each from its own start state."""
    env = Env(
        robot,
        CpuPhysics(robot, episodes),
        seed=seed,
        period=reward.period if reward else None,
        symmetric=policy.about.symmetric,
    )
    steps = round(seconds / robot.dt)
    qpos = np.zeros((steps, episodes, robot.mj_model.nq))
    points = np.zeros((steps, episodes, len(robot.keypoints), 3), np.float32)
    lived = torch.full((episodes,), steps)
    alive = torch.ones(episodes, dtype=torch.bool)
    sums: dict[str, float] = {}
    for t in range(steps):
        terminated, _ = env.step(policy.act(env.observe()))
        lived[alive & terminated] = t
        alive &= ~terminated
        qpos[t] = env.physics.qpos.numpy()
        points[t] = env.fields["keypoint_pos"].numpy()
        for name, value in (reward(env.fields) if reward else {}).items():
            value = torch.where(value.isfinite(), value, 0.0)  # as training does
            sums[name] = sums.get(name, 0.0) + float(value[alive].sum())
        # A fallen robot starts again: left lying, it would only trouble the solver.
        env.reset(~alive & terminated)
    total = max(int(lived.sum()), 1)
    terms = {name: value / total for name, value in sums.items()}
    return Episodes(qpos, points, lived.numpy(), terms, robot.dt)


def statistics(episodes: Episodes) -> dict[str, Any]:
    """What happened, apart from how it looked."""
    return {
        "episodes": len(episodes.lived),
        "seconds": round(len(episodes.points) * episodes.dt, 6),
        "lived_s": [round(float(n) * episodes.dt, 6) for n in episodes.lived],
        "term_means": {k: float(f"{v:.6g}") for k, v in episodes.terms.items()},
    }


def picks(track: Track, motion: Motion) -> list[Pick]:
    """The frames for the contact sheet: one gait cycle in equal phases, from a landing of the first
    foot; without a gait, where something moves."""
    start = round(START_UP_S * track.fps) if track.seconds > START_UP_S + LEAST_S else 0
    signal = gait_signal(track)
    if motion.period is None:
        return by_energy(signal, track.fps, TILES)
    first = best_cycle(signal[start:], motion.period.value, track.fps, [
        frame - start for frame in landings(track, motion.period.value) if frame >= start
    ])  # fmt: skip
    return phases(start + first, motion.period.value, track.fps, TILES, len(track))


def tiles(renderer: Renderer, qpos: np.ndarray, track: Track, chosen: list[Pick]) -> list[Tile]:
    """Pictures of the chosen frames, and where in them the robot is."""
    scale = renderer.pixels_per_metre
    ground = renderer.height / 2 + renderer.robot.camera.height * scale
    high = body_height(track) * scale
    made = []
    for pick in chosen:
        middle = track.centre[pick.frame, 0] - qpos[pick.frame, 0]
        centre = renderer.width / 2 + middle * scale
        image = renderer.frame(qpos[pick.frame])
        made.append(Tile(image, centre, ground, high, pick.time, pick.phase))
    return made


def film(
    robot: Robot, policy: Policy, reward: Reward | None,
    *, episodes: int, seconds: float, video_seconds: float, seed: int,
) -> dict[str, bytes]:  # fmt: skip
    """Run, measure, draw: the files of a rollout by name."""
    done = run(robot, policy, reward, episodes=episodes, seconds=seconds, seed=seed)
    motion, tracks = Gait().of(robot, done), done.tracks(robot)
    shown = int(np.argmax(done.lived))
    track, qpos = tracks[shown], done.qpos[: max(int(done.lived[shown]), 1), shown]
    every = max(1, round(1 / (FILM_FPS * done.dt)))
    frames = qpos[: round(video_seconds / done.dt) : every]
    camera = Renderer(robot, *FILM_SIZE)
    found = {
        "motion.json": _json(to_json(motion)),
        "stats.json": _json(statistics(done)),
        "track.npz": pack(track),
        "video.mp4": encode_mp4((camera.frame(q) for q in frames), 1 / (done.dt * every)),
    }
    if len(track) >= TILES:
        close = Renderer(robot, TILE_SIDE, TILE_SIDE)
        drawn = sheet(tiles(close, qpos, track, picks(track, motion)))
        found["sheet.jpg"] = encode_jpeg(drawn)
    return found


def _json(obj: Any) -> bytes:
    return (json.dumps(obj, indent=1, allow_nan=False) + "\n").encode()
