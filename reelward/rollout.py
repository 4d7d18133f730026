"""Rollouts: deterministic episodes of a finished policy, and the files that describe them."""

from __future__ import annotations

import numpy as np
import torch

from reelward.film import Recording, Replay, States, drawable, pack, pictures
from reelward.language import Reward
from reelward.measures.base import LEAST_S, START_UP_S, Episodes, Measure
from reelward.motion.cycle import Pick, best_cycle, by_energy, gait_signal, landings, phases
from reelward.motion.record import Motion, to_json
from reelward.motion.sheet import BODY, Place, Tile, body_height, sheet
from reelward.motion.track import Track
from reelward.motion.track import pack as pack_track
from reelward.motion.video import encode_jpeg
from reelward.policy import Policy
from reelward.records import Stats
from reelward.render import Extent, Renderer
from reelward.runtime.files import json_text
from reelward.sim.env import Env
from reelward.sim.environment import make_env
from reelward.sim.gymnasium_env import GymnasiumEnv
from reelward.sim.mjcf import Robot
from reelward.sim.robot import AnyRobot

TILES = 8
TILE_SIDE = 320
HALF_TILE, ABOVE = 0.48, 0.80
"""room for the robot beside its middle and above the ground, as fractions of a tile's side"""


@torch.no_grad()
def run(
    robot: AnyRobot,
    policy: Policy,
    reward: Reward | None,
    *,
    episodes: int,
    seconds: float,
    seed: int,
    fields: tuple[str, ...] = (),
) -> Episodes:
    """Episodes under the policy's most likely action, each from its own start state. `fields` are
    recorded at each step. An episode that an environment of Gymnasium ends by itself is over, as by
    a fall."""
    env = make_env(
        robot,
        episodes,
        seed=seed,
        period=reward.period if reward else None,
        symmetric=policy.about.symmetric,
    )
    seeds = env.seeds if isinstance(env, GymnasiumEnv) else ()
    steps = round(seconds / robot.dt)
    joints = env.physics.qpos.shape[1] if isinstance(env, Env) else 0
    qpos = np.zeros((steps, episodes, joints))
    points = np.zeros((steps, episodes, len(robot.keypoints), 3), np.float32)
    actions = []
    recorded: dict[str, list[np.ndarray]] = {name: [] for name in fields}
    lived = torch.full((episodes,), steps)
    alive = torch.ones(episodes, dtype=torch.bool)
    sums: dict[str, float] = {}
    for t in range(steps):
        action = policy.act(env.observe())
        actions.append(action.numpy())
        terminated, _ = env.step(action)
        lived[alive & terminated] = t
        alive &= ~terminated
        ended = torch.from_numpy(env.ended) if isinstance(env, GymnasiumEnv) else terminated
        if isinstance(env, Env):
            qpos[t] = env.physics.qpos.numpy()
            points[t] = env.fields["keypoint_pos"].numpy()
        for name in fields:
            recorded[name].append(env.fields[name].numpy().copy())
        for name, value in (reward(env.fields) if reward else {}).items():
            value = torch.where(value.isfinite(), value, 0.0)  # as training does
            sums[name] = sums.get(name, 0.0) + float(value[alive].sum())
        lived[alive & ended] = t + 1
        alive &= ~ended
        # A fallen robot starts again: left lying, it would only slow the solver down.
        env.reset(ended)
    total = max(int(lived.sum()), 1)
    terms = {name: value / total for name, value in sums.items()}
    arrays = {name: np.stack(values) for name, values in recorded.items()}
    return Episodes(qpos, points, lived.numpy(), terms, robot.dt, np.stack(actions), seeds, arrays)


def statistics(episodes: Episodes) -> Stats:
    """How the episodes went, apart from how they looked."""
    return Stats(
        episodes=len(episodes.lived),
        seconds=round(len(episodes.points) * episodes.dt, 6),
        lived_s=tuple(round(float(n) * episodes.dt, 6) for n in episodes.lived),
        term_means={k: float(f"{v:.6g}") for k, v in episodes.terms.items()},
    )


def artefacts(robot: AnyRobot, episodes: Episodes, measure: Measure) -> dict[str, bytes]:
    """The files of a rollout by name. Track, states and contact sheet show the longest episode."""
    motion = measure.of(robot, episodes)
    recording = longest(episodes)
    contents = {
        "motion.json": json_text(to_json(motion)).encode(),
        "stats.json": json_text(statistics(episodes).model_dump(mode="json")).encode(),
        "states.npz": pack(recording),
    }
    if isinstance(recording, Replay):
        sheets = {"sheet.jpg": _snapshots(robot, recording)} if drawable(robot) else {}
        return contents | sheets
    track = episodes.tracks(robot)[int(np.argmax(episodes.lived))]
    contents["track.npz"] = pack_track(track)
    if len(track) >= TILES:
        assert isinstance(robot, Robot)
        contents["sheet.jpg"] = _contact_sheet(robot, recording, track, motion)
    return contents


def longest(episodes: Episodes) -> Recording:
    """The longest episode, up to its fall."""
    best = int(np.argmax(episodes.lived))
    length = max(int(episodes.lived[best]), 1)
    if episodes.seeds:
        return Replay(episodes.seeds[best], episodes.actions[:length, best], episodes.dt)
    return States(episodes.qpos[:length, best], episodes.dt)


def _snapshots(robot: AnyRobot, replay: Replay) -> bytes:
    """Numbered pictures at equal times as a JPEG."""
    steps = sorted({round(x) for x in np.linspace(0, len(replay.actions) - 1, TILES)})
    shots = zip(steps, pictures(robot, replay, steps), strict=True)
    return encode_jpeg(sheet([Tile(image, time=step * replay.dt) for step, image in shots]))


def _contact_sheet(robot: Robot, states: States, track: Track, motion: Motion) -> bytes:
    """Numbered pictures of one cycle as a JPEG."""
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
    frames = [pick.frame for pick in picks]
    extent = camera.extent(qpos[frames])
    camera.fit(extent)
    scale = camera.pixels_per_metre
    ground = camera.height / 2 + camera.robot.camera.height * scale
    middle, high = _size(camera, extent, track.centre[frames, 0], body_height(track))
    tiles = []
    for pick, x in zip(picks, middle - extent.root[:, 0], strict=True):
        image, centre = camera.frame(qpos[pick.frame]), camera.width / 2 + x * scale
        tiles.append(Tile(image, pick.time, Place(centre, ground, high * scale), pick.phase))
    return tiles


def _size(
    camera: Renderer, extent: Extent, hips: np.ndarray, high: float
) -> tuple[np.ndarray, float]:
    """x of the middle of each tile (m) and the height (m) to which tiles are scaled: the hips and
    `high`, where tiles then show the whole robot, else its own middle and a height that does."""
    depth = camera.distance + extent.low[:, 1] - extent.root[:, 1]
    closer = camera.distance / depth  # what is nearer looks larger

    def needed(middle: np.ndarray) -> float:
        half = np.maximum(extent.high[:, 0] - middle, middle - extent.low[:, 0])
        across, up = (closer * half).max() / HALF_TILE, (closer * extent.high[:, 2]).max() / ABOVE
        return BODY * float(max(across, up))

    if needed(hips) <= high:
        return hips, high
    middle = (extent.low[:, 0] + extent.high[:, 0]) / 2
    return middle, max(high, needed(middle))
