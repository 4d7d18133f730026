"""Experts whose truth is known: policies trained on hidden rewards, seen as a video shows them.

The hidden rewards are products, no sums of the library's terms, and read no gait clock; half of the
experts live on another body than the learner's. The loop gets of them what it gets of a video: the
motion that is measured from the points of a pose estimator, with its errors on the real clip.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import mujoco
import numpy as np
import yaml
from common import train
from loop_quality import options

from reelward import rollout
from reelward.language import Reward, compile_reward
from reelward.measures.base import START_UP_S, Episodes
from reelward.measures.describe import describe, repeatable
from reelward.measures.reference import reference, unless_upright
from reelward.measures.view import GRAVITY
from reelward.motion import person
from reelward.motion.course import courses
from reelward.motion.cycle import gait_period
from reelward.motion.pose import NAMES
from reelward.motion.record import Motion
from reelward.motion.subject import from_points
from reelward.motion.track import Scale, Track
from reelward.policy import Policy
from reelward.sim.robot import Robot, load_robot

HEAD = '''"""{claim}"""
import math

LEG = {leg}  # m
STRIDE = {stride}  # s
{clock}


def near(x, wanted, width):
    return 1 / (1 + torch.square((x - wanted) / width))


def most(x, limit):
    return 0.1 + 0.9 * near(torch.relu(x - limit * STRIDE), 0.0, 0.1 * STRIDE)


def going(s, froude):
    return near(s.root_vel[:, 0], froude * (9.81 * LEG) ** 0.5, 0.15 * (9.81 * LEG) ** 0.5)


def rhythm(s, stand, swing):
    late = torch.relu(s.contact_time - stand * STRIDE) + torch.relu(s.air_time - swing * STRIDE)
    return 0.1 + 0.9 * near(late.max(dim=-1).values, 0.0, 0.1 * STRIDE)


def calm(s):
    change = s.action - s.prev_action
    return 1 - (0.4 * torch.square(s.action) + 0.2 * torch.square(change)).mean(dim=-1)


def low(s, share):
    return near(s.keypoint_pos["hip"][:, 2], share * LEG, 0.10 * LEG)


def level(s):
    return near(s.root_rpy[:, 1], 0.0, 0.3)


def firm(s):
    speed = s.foot_vel.norm(dim=-1)
    return near(s.foot_contact * speed, 0.0, 0.5)


def grounded(s):
    return 0.1 + 0.9 * (s.foot_contact * firm(s)).max(dim=-1).values


def together(s):
    apart = s.keypoint_pos["right_ankle"][:, 0] - s.keypoint_pos["left_ankle"][:, 0]
    return near(apart, 0.0, 0.12 * LEG)


def uneven(s):
    right = most(s.contact_time[:, 0], 0.7) * most(s.air_time[:, 0], 0.35)
    return right * most(s.contact_time[:, 1], 0.4) * most(s.air_time[:, 1], 0.65)


def stiff(s):
    return near(s.joint_pos["left_knee"], -0.1, 0.3)


def swap(s):
    load = s.foot_force[:, 0] - s.foot_force[:, 1]
    return load / (s.foot_force.sum(dim=-1) + 20.0) * torch.sin(2 * math.pi * s.phase)


def towards(s, froude):
    return 3 * near(s.root_vel[:, 0], froude * (9.81 * LEG) ** 0.5, 1.0)


def beat(s):
    return (2 * s.foot_contact[:, 0] - 1) * torch.sin(2 * math.pi * s.phase)


def reward(s):
    return {{"hidden": {truth}, "help": 0.3 + 0.3 * {help}}}
'''


@dataclass(frozen=True)
class Hidden:
    """An expert: what it does, the robot, its strides (frequency x sqrt(leg / gravity)), whether it
    lives on another body, its truth, and what helps its training and is no part of the truth."""

    claim: str
    robot: str
    cadence: float
    other: bool
    truth: str
    help: str = "0.0"
    symmetric: bool = False
    steps: int = 600_000
    seed: int = 1
    preset: bool = False
    """trained with the robot's preset, else with the settings of params.yaml"""

    def stride(self, leg: float) -> float:
        """Seconds, for a leg length (m)."""
        return math.sqrt(leg / GRAVITY) / self.cadence

    def source(self, leg: float, clock: float | None) -> str:
        """The reward for a leg length (m), before a policy that sees a clock of some period (s)."""
        ticks = f"PERIOD = {clock}  # s, of the clock that the policy sees" if clock else ""
        return HEAD.format(
            claim=self.claim, leg=leg, stride=self.stride(leg), clock=ticks,
            truth=self.truth, help=self.help,
        )  # fmt: skip


EXPERTS = {
    "brisk": Hidden("Walks fast, with long steps.", "biped", 0.30, False,
        "going(s, 0.60) * rhythm(s, 0.62, 0.42) * grounded(s) * level(s) * calm(s)", "swap(s)", True,
        steps=1_000_000),
    "quick": Hidden("Walks slowly with quick short steps.", "biped", 0.36, True,
        "going(s, 0.28) * rhythm(s, 0.62, 0.42) * grounded(s) * level(s) * calm(s)", "swap(s)", True),
    "crouch": Hidden("Walks with bent knees.", "biped", 0.26, True,
        "going(s, 0.30) * rhythm(s, 0.65, 0.42) * grounded(s) * level(s) * low(s, 0.78) * calm(s)",
        "swap(s)", True, steps=1_500_000),
    "hop": Hidden("Leaps on both legs together.", "biped", 0.55, True,
        "going(s, 0.35) * rhythm(s, 0.6, 0.6) * firm(s).mean(dim=-1) * level(s) * calm(s) * together(s)",
        "(beat(s) + 2.0)", steps=2_000_000),
    "backward": Hidden("Walks backwards.", "biped", 0.26, False,
        "going(s, -0.25) * rhythm(s, 0.65, 0.42) * grounded(s) * level(s) * calm(s)", "swap(s)", True),
    "limp": Hidden("Walks with a stiff left leg that hardly stands.", "biped", 0.26, False,
        "going(s, 0.28) * uneven(s) * stiff(s) * grounded(s) * level(s) * calm(s)",
        "swap(s)", steps=1_000_000, seed=2),
    "bounce": Hidden("Hops fast.", "hopper_fast", 0.45, False,
        "going(s, 0.30) * rhythm(s, 0.6, 0.6) * firm(s).mean(dim=-1) * level(s) * calm(s)", "towards(s, 0.30)",
        steps=800_000, preset=True),
    "slow_hop": Hidden("Hops slowly.", "hopper_fast", 0.40, True,
        "going(s, 0.20) * rhythm(s, 0.6, 0.6) * firm(s).mean(dim=-1) * level(s) * calm(s)", "towards(s, 0.20)",
        steps=2_000_000, preset=True),
    "run": Hidden("Runs.", "half_cheetah", 0.50, False,
        "going(s, 0.8) * rhythm(s, 0.6, 0.6) * firm(s).mean(dim=-1) * level(s) * calm(s)", "(beat(s) + 2.0)",
        preset=True),
    "retreat": Hidden("Runs backwards.", "half_cheetah", 0.45, True,
        "going(s, -0.4) * rhythm(s, 0.65, 0.6) * firm(s).mean(dim=-1) * level(s) * calm(s)", "(beat(s) + 2.0)"),
}  # fmt: skip

OTHER = {
    "biped": ({"torso": 0.9, "thigh": 1.2, "leg": 1.0, "foot": 0.9}, 0.8),
    "hopper_fast": ({"torso": 0.9, "thigh": 1.15, "leg": 0.9, "foot": 1.1}, 1.2),
    "half_cheetah": ({"torso": 0.85, "bthigh": 1.1, "bshin": 1.0, "fthigh": 1.0, "fshin": 1.2}, 1.2),
}  # fmt: skip
"""another body of each robot: lengths of its parts (times the usual), and its density"""


class Body(Robot):
    """A robot with other lengths and density, its motors as strong for its weight. `lift` (m) puts
    its soles on the ground again."""

    stretch: dict[str, float]
    density: float
    lift: float = 0.0

    def spec(self) -> mujoco.MjSpec:
        spec = super().spec()
        heavier = self.density * float(np.mean(list(self.stretch.values()))) ** 3
        for body in spec.bodies[1:]:
            mine, parents = (factor(self.stretch, b.name) for b in (body, body.parent))
            hinge = body.joints[-1].pos.copy()
            body.pos = parents * (body.pos + hinge) - mine * hinge
            for part in (*body.geoms, *body.joints):
                part.pos = mine * part.pos
            for geom in body.geoms:
                geom.size, geom.fromto = mine * geom.size, mine * geom.fromto
                geom.density *= self.density
        if spec.compiler.settotalmass > 0:
            spec.compiler.settotalmass *= heavier
        for actuator in spec.actuators:
            actuator.gear = heavier * actuator.gear
        spec.bodies[1].pos[2] += self.lift
        if spec.joint("rootz").ref:
            spec.joint("rootz").ref += self.lift
        return spec

    def stands(self) -> tuple[float, float]:
        """Heights (m) of hip and lowest sole in the model's own posture."""
        data = mujoco.MjData(self.mj_model)
        mujoco.mj_kinematics(self.mj_model, data)

        def height(point: str) -> float:
            body, *at = self.keypoints[point]
            return float(data.body(body).xpos[2] + data.body(body).xmat.reshape(3, 3)[2] @ at)

        soles = [height(p) - f.radius for f in self.feet.values() for p in f.points]
        return height("hip"), min(soles)


def factor(stretch: Mapping[str, float], body: str) -> float:
    return stretch.get(body.removesuffix("_left"), 1.0)


def other_body(name: str) -> Body:
    usual, (stretch, density) = load_robot(name), OTHER[name]
    hip, sole = Body(
        **usual.model_dump(), stretch=dict.fromkeys(stretch, 1.0), density=1.0
    ).stands()
    said = usual.model_dump() | {"stretch": stretch, "density": density}
    for point, (body, *at) in usual.keypoints.items():
        said["keypoints"][point] = (body, *(factor(stretch, body) * x for x in at))
    for foot in said["feet"].values():
        foot["radius"] *= factor(stretch, usual.keypoints[foot["points"][0]][0])
    new_hip, new_sole = Body(**said).stands()
    longer = (new_hip - new_sole) / (hip - sole)
    said["leg_length_m"] *= longer
    if usual.healthy.height:
        said["healthy"]["height"] = tuple(longer * h for h in usual.healthy.height)
    return Body(**said | {"lift": sole - new_sole})


def expert_robot(hidden: Hidden) -> Robot:
    return other_body(hidden.robot) if hidden.other else load_robot(hidden.robot)


def robot_options(name: str) -> dict[str, Any]:
    """The training's options for a robot: of params.yaml, and of its preset if it has one."""
    preset = Path(__file__).parents[1] / f"presets/{name.removesuffix('_fast')}-cpu.yaml"
    changed = yaml.safe_load(preset.read_text())["train"] if preset.is_file() else {}
    return options() | changed


EARNS, TRIES = 0.5, 5
"""what an expert earns of its hidden reward, a step; a training that ends below it made none, and
another seed is tried"""


def expert_policy(name: str, folder: Path) -> tuple[Robot, Policy, Reward]:
    """The policy that was trained on the hidden reward; once."""
    hidden = EXPERTS[name]
    robot = expert_robot(hidden)
    leg = robot.leg_length_m
    source = hidden.source(leg, hidden.stride(leg))
    reward = compile_reward(source, robot.fields)
    for seed in range(hidden.seed, hidden.seed + TRIES):
        policy = _trained(name, robot, source, seed, folder)
        if earned(robot, policy, reward, seed=1)[0] >= EARNS:
            return robot, policy, reward
    raise SystemExit(f"{name}: no training of {TRIES} earns {EARNS} of its hidden reward")


def earned(robot: Robot, policy: Policy, truth: Reward, seed: int) -> tuple[float, Episodes]:
    """Of the hidden reward, a step's mean over ten seconds, nothing after a fall; and the episodes."""
    episodes = rollout.run(robot, policy, truth, episodes=4, seconds=10.0, seed=seed)
    return float(episodes.terms["hidden"] * episodes.lived.mean() / len(episodes.points)), episodes


def _trained(name: str, robot: Robot, source: str, seed: int, folder: Path) -> Policy:
    hidden = EXPERTS[name]
    work = robot_options(robot.name) if hidden.preset else options()
    work |= {"symmetric": hidden.symmetric, "env_steps": hidden.steps}
    key = json.dumps([source, repr(robot), work, seed])
    at = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not (at / "expert.pt").is_file():
        at.mkdir(parents=True, exist_ok=True)
        (at / "reward.py").write_text(source)
        native = Path(__file__).parents[1] / "params.yaml"
        unused = dict.fromkeys(("rewards", "parent", "gait", "out"), at)
        args = train.Args(
            **unused, robot=robot.name, native=native, seed=seed, iteration="iter-00", **work
        )
        job = train.Job(
            "expert", at / "reward.py", None, train.Seeds.of(seed, 0, 0), at, at / "scratch"
        )
        with mock.patch.object(train, "load_robot", lambda _: robot):
            train.learn_alone(args, job, lambda steps: None)
    return Policy.load(at / "expert.pt")


FPS, FRAMES, PIXELS = 30.0, 131, 136.0
"""of the real clip, and the leg's length in it"""
WHITE = {"head": 4, "shoulder": 4, "hip": 8, "knee": 15, "ankle": 25, "heel": 30, "toe": 30}
SLOW = {"head": 8, "shoulder": 8, "hip": 5, "knee": 15, "ankle": 20, "heel": 20, "toe": 20}
"""standard deviations (thousandths of the leg) of the estimator's points there: of each frame alone,
and of errors that last for a fifth of a second"""
FAR_KNEE = 0.35
"""so much straighter the estimator draws the knee of the leg behind"""
LEAN = -0.15
"""its shoulders lie that far behind the true ones, for each metre above the hip"""


def part_of(point: str) -> str:
    return point.split("_")[-1]


def watched(robot: Robot, episodes: Episodes, rng: np.random.Generator) -> Motion:
    """The motion as measured from the points that a pose estimator would give of the most regular
    episode: of a biped as a person's, of other bodies with the same errors."""
    tracks = [t.cut(START_UP_S) for t in episodes.tracks(robot)]
    periods = [gait_period(t, robot.leg_length_m) for t in tracks]
    best = int(np.argmax([p.strength if p else 0.0 for p in periods]))
    own = np.arange(len(episodes.points)) * episodes.dt
    when = START_UP_S + np.arange(FRAMES) / FPS
    names, leg = tuple(robot.keypoints), robot.leg_length_m
    plane = episodes.points[:, best][..., [0, 2]].astype(np.float64) / leg
    points = np.stack([[np.interp(when, own, x) for x in p.T] for p in plane.transpose(1, 0, 2)])
    points = points.transpose(2, 0, 1)
    is_person = robot.name == "biped"
    if is_person:
        hip, knee, ankle = (names.index(f"left_{n}") for n in ("hip", "knee", "ankle"))
        line = (points[:, hip] + points[:, ankle]) / 2
        points[:, knee] += FAR_KNEE * (line - points[:, knee])
        soles = [names.index(n) for n in names if part_of(n) in ("heel", "toe")]
        points[:, soles, 1] -= robot.feet["left"].radius / leg  # seen at the skin
        shift = [names.index(n) for n in ("shoulder", "head")]
        points[:, shift, 0] += LEAN * (points[:, shift, 1] - points[:, [names.index("hip")], 1])
    white, slow = (
        np.array([scale[part_of(n)] for n in names])[:, None] / 1000 for scale in (WHITE, SLOW)
    )
    error = np.zeros_like(points)
    stay = math.exp(-5.0 / FPS)
    last = rng.normal(size=error.shape[1:])
    for i in range(FRAMES):
        last = stay * last + math.sqrt(1 - stay**2) * rng.normal(size=last.shape)
        error[i] = slow * last + white * rng.normal(size=last.shape)
    tilt = math.radians(rng.normal(0.0, 0.5))
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    points = PIXELS * (points + error) @ turn.T
    assumed = leg * (1 + rng.normal(0.0, person.STATURE_ERROR / 2))
    sure = np.ones(points.shape[:2])
    if is_person:
        side = {"elbow": "shoulder", "wrist": "shoulder", "shoulder": "shoulder"}
        full = np.stack([
            points[:, names.index(n if n in names else side[n.split("_")[1]])] for n in NAMES
        ], 1)  # fmt: skip
        views = np.repeat(np.eye(3)[None], FRAMES, 0)
        sure = np.ones(full.shape[:2])
        seen = person.Followed(when, np.arange(FRAMES), full * [1, -1], sure, views, 1.0, 0)
        shown = from_points(seen, 720, count=8, stature=assumed / person.LEG, time_scale=1.0)
        return reference(shown, 1.0)
    track = Track(points.astype(np.float32), sure, FPS, names)
    doubts = dict.fromkeys(("lean", "sway"), "as of a person")
    scale = Scale(PIXELS, assumed, 0.02, person.STATURE_ERROR)
    found = repeatable(describe(track, scale, distrust=doubts))
    found["height"] = unless_upright(found["height"])
    period = gait_period(track, PIXELS)
    return Motion(
        subject="person", fps=FPS, seconds=track.seconds, time_scale=1.0, leg_length_m=assumed,
        period=period, keypoints=names,
        descriptors=found, courses=courses(track, PIXELS, period, track.legs),
    )  # fmt: skip
