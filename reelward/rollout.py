"""Rollouts: deterministic episodes of a finished policy, and the files that describe them."""

from __future__ import annotations

import numpy as np
import torch

from reelward.film import States
from reelward.language import Reward
from reelward.measures.base import LEAST_S, START_UP_S, Episodes, Measure
from reelward.motion.cycle import Pick, best_cycle, by_energy, gait_signal, landings, phases
from reelward.motion.record import Motion, to_json
from reelward.motion.sheet import Tile, body_height, sheet
from reelward.motion.track import Track, pack
from reelward.motion.video import encode_jpeg
from reelward.policy import Policy
from reelward.records import Stats
from reelward.render import Renderer
from reelward.runtime.files import json_text
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.robot import Robot

TILES = 8
TILE_SIDE = 320


@torch.no_grad()
def run(
    robot: Robot,
    policy: Policy,
    reward: Reward | None,
    *,
    episodes: int,
    seconds: float,
    seed: int,
    fields: tuple[str, ...] = (),
) -> Episodes:
    """Episodes under the policy's most likely action, each from its own start state. `fields` are
    recorded at each step."""
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
    recorded: dict[str, list[np.ndarray]] = {name: [] for name in fields}
    lived = torch.full((episodes,), steps)
    alive = torch.ones(episodes, dtype=torch.bool)
    sums: dict[str, float] = {}
    for t in range(steps):
        terminated, _ = env.step(policy.act(env.observe()))
        lived[alive & terminated] = t
        alive &= ~terminated
        qpos[t] = env.physics.qpos.numpy()
        points[t] = env.fields["keypoint_pos"].numpy()
        for name in fields:
            recorded[name].append(env.fields[name].numpy().copy())
        for name, value in (reward(env.fields) if reward else {}).items():
            value = torch.where(value.isfinite(), value, 0.0)  # as training does
            sums[name] = sums.get(name, 0.0) + float(value[alive].sum())
        # A fallen robot starts again: left lying, it would only slow the solver down.
        env.reset(~alive & terminated)
    total = max(int(lived.sum()), 1)
    terms = {name: value / total for name, value in sums.items()}
    arrays = {name: np.stack(values) for name, values in recorded.items()}
    return Episodes(qpos, points, lived.numpy(), terms, robot.dt, arrays)


def statistics(episodes: Episodes) -> Stats:
    """How the episodes went, apart from how they looked."""
    return Stats(
        episodes=len(episodes.lived),
        seconds=round(len(episodes.points) * episodes.dt, 6),
        lived_s=tuple(round(float(n) * episodes.dt, 6) for n in episodes.lived),
        term_means={k: float(f"{v:.6g}") for k, v in episodes.terms.items()},
    )


def artefacts(robot: Robot, episodes: Episodes, measure: Measure) -> dict[str, bytes]:
    """The files of a rollout by name. Track, states and contact sheet show the longest episode."""
    motion = measure.of(robot, episodes)
    track = episodes.tracks(robot)[int(np.argmax(episodes.lived))]
    states = longest(episodes)
    contents = {
        "motion.json": json_text(to_json(motion)).encode(),
        "stats.json": json_text(statistics(episodes).model_dump(mode="json")).encode(),
        "track.npz": pack(track),
        "states.npz": states.pack(),
    }
    if picture := contact_sheet(robot, states, track, motion):
        contents["sheet.jpg"] = picture
    return contents


def longest(episodes: Episodes) -> States:
    """The longest episode, up to its fall."""
    best = int(np.argmax(episodes.lived))
    return States(episodes.qpos[: max(int(episodes.lived[best]), 1), best], episodes.dt)


def contact_sheet(robot: Robot, states: States, track: Track, motion: Motion) -> bytes | None:
    """Numbered pictures of one cycle as a JPEG, None where the episode is too short for it."""
    if len(track) < TILES:
        return None
    camera = Renderer(robot, TILE_SIDE, TILE_SIDE)
    return encode_jpeg(sheet(_tiles(camera, states.qpos, track, _picks(track, motion))))


def _picks(track: Track, motion: Motion) -> list[Pick]:
    """One gait cycle in equal phases, from a landing of the first foot; without a gait, the frames
    in which most moves."""
    start = round(START_UP_S * track.fps) if track.seconds > START_UP_S + LEAST_S else 0
    signal = gait_signal(track)
    if motion.period is None:
        return by_energy(signal, track.fps, TILES)
    first = best_cycle(signal[start:], motion.period.value, track.fps, [
        frame - start for frame in landings(track, motion.period.value) if frame >= start
    ])  # fmt: skip
    return phases(start + first, motion.period.value, track.fps, TILES, len(track))


def _tiles(camera: Renderer, qpos: np.ndarray, track: Track, picks: list[Pick]) -> list[Tile]:
    """Pictures of the chosen frames, and where in them the robot is."""
    scale = camera.pixels_per_metre
    ground = camera.height / 2 + camera.robot.camera.height * scale
    high = body_height(track) * scale
    tiles = []
    for pick in picks:
        middle = track.centre[pick.frame, 0] - qpos[pick.frame, 0]
        image = camera.frame(qpos[pick.frame])
        centre = camera.width / 2 + middle * scale
        tiles.append(Tile(image, centre, ground, high, pick.time, pick.phase))
    return tiles
