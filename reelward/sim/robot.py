"""A robot: an MJCF plus the short YAML that says what its parts are.

The YAML is data; a new robot is a new folder under robots/ and touches nothing else. From it comes
one list of named fields (`Robot.fields`), which is at once the contract of the state, the type
table of the reward language and the robot card that a model reads.
"""

from __future__ import annotations

import difflib
import warnings
from functools import cached_property
from pathlib import Path
from typing import Literal

import mujoco
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from reelward.sim.field import Field

ROBOTS = Path(__file__).parents[2] / "robots"


_NETFORCE = 3
"""MuJoCo's code for reducing a contact sensor's matches to their summed force"""


class RobotError(ValueError):
    """A robot that is not there, or whose YAML or MJCF does not hold together."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Foot(_Strict):
    """A sole: keypoints on it, the radius of the geom around them (m), the geoms that touch."""

    points: tuple[str, ...]
    radius: float
    geoms: tuple[str, ...]


class Healthy(_Strict):
    """An episode goes on while the root's height (m) and pitch (rad) lie inside; `state_limit`
    bounds every joint coordinate and velocity."""

    height: tuple[float, float] | None = None
    pitch: tuple[float, float] | None = None
    state_limit: float | None = None


class Stance(_Strict):
    """A start posture: gait phase (cycles) and joint angles (rad)."""

    phase: float
    joints: dict[str, float]


class Reset(_Strict):
    """Start states: noise around the model's posture, or around one of several stances, in which
    case the lower sole is put on the ground."""

    qpos_uniform: float = 0.0
    qvel_uniform: float = 0.0
    qvel_normal: float = 0.0
    forward: tuple[float, float] = (0.0, 0.0)
    stances: tuple[Stance, ...] = ()


class Camera(_Strict):
    """The side camera: distance to the root and height of the point it looks at (m)."""

    distance: float
    height: float


class Robot(_Strict):
    """What robots/NAME/robot.yaml says. Names on the left are ours, on the right the MJCF's."""

    name: str
    model: str
    """`gymnasium:FILE` for an asset of the installed Gymnasium, else a file beside the YAML"""
    timestep: float | None = None
    """physics step (s), where it is not the MJCF's"""
    integrator: Literal["Euler", "RK4", "implicitfast"] | None = None
    """where it is not the MJCF's"""
    solver: Literal["Newton"] | None = None
    """where it is not the MJCF's"""
    joint_range_deg: dict[str, tuple[float, float]] = {}
    substeps: PositiveInt
    """physics steps a control step"""
    episode_s: PositiveFloat
    """time limit (s): truncation, not termination"""
    root: str
    leg_length_m: PositiveFloat
    joints: dict[str, str]
    bodies: dict[str, str]
    """a body without a name goes by that of its first joint"""
    keypoints: dict[str, tuple[str, float, float, float]]
    feet: dict[str, Foot]
    symmetric: bool
    """right_* and left_* are mirror images of each other"""
    velocity_clip: float | None = None
    """the policy sees velocities inside +- this"""
    healthy: Healthy = Healthy()
    reset: Reset
    camera: Camera

    @model_validator(mode="after")
    def _names_exist(self) -> Robot:
        for name, foot in self.feet.items():
            for point in foot.points:
                if point not in self.keypoints:
                    raise ValueError(f"feet.{name}.points: {point} is not among the keypoints")
        for stance in self.reset.stances:
            for joint in stance.joints:
                if joint not in self.joints:
                    raise ValueError(f"reset.stances: {joint} is not among the joints")
        if self.symmetric:
            for name in self.joints:
                if mirrored(name) not in self.joints:
                    raise ValueError(f"symmetric: {name} has no mirror image {mirrored(name)}")
        return self

    def spec(self) -> mujoco.MjSpec:
        """The MJCF with the YAML's changes and a contact sensor for each foot. Raises RobotError."""
        if self.model.startswith("gymnasium:"):
            import gymnasium

            path = Path(gymnasium.__file__).parent / "envs/mujoco/assets" / self.model[10:]
        else:
            path = ROBOTS / self.name / self.model
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the asset's deprecated attributes
                spec = mujoco.MjSpec.from_file(str(path))
            if self.timestep:
                spec.option.timestep = self.timestep
            if self.integrator:
                code = f"mjINT_{self.integrator.upper()}"
                spec.option.integrator = getattr(mujoco.mjtIntegrator, code)
            if self.solver:
                spec.option.solver = mujoco.mjtSolver.mjSOL_NEWTON
            for body in spec.bodies:
                if not body.name and body.joints:
                    body.name = body.joints[0].name
            for joint, degrees in self.joint_range_deg.items():
                if spec.joint(joint) is None:
                    raise ValueError(f"joint_range_deg: it has no joint {joint!r}")
                spec.joint(joint).range = degrees
            for geom in (g for f in self.feet.values() for g in f.geoms):
                spec.add_sensor(
                    name=geom,
                    type=mujoco.mjtSensor.mjSENS_CONTACT,
                    objtype=mujoco.mjtObj.mjOBJ_GEOM,
                    objname=geom,
                    intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), _NETFORCE, 1],
                )
            return spec
        except (ValueError, AttributeError, OSError) as e:
            raise RobotError(f"robot {self.name}: cannot read {path}: {e}") from e

    @cached_property
    def mj_model(self) -> mujoco.MjModel:
        """The compiled model. Raises RobotError."""
        try:
            model = compiled(self.spec())
        except ValueError as e:
            if isinstance(e, RobotError):
                raise
            raise RobotError(f"robot {self.name}: cannot compile {self.model}: {e}") from e
        for kind, wanted in (
            ("joint", self.joints.values()),
            ("body", [self.root, *self.bodies.values()]),
            ("body", [k[0] for k in self.keypoints.values()]),
            ("geom", [g for f in self.feet.values() for g in f.geoms]),
        ):
            for name in wanted:
                if (
                    mujoco.mj_name2id(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), name)
                    < 0
                ):
                    raise RobotError(f"robot {self.name}: the model has no {kind} {name!r}")
        driven = []
        for i in range(model.nu):
            if model.actuator_trntype[i] != mujoco.mjtTrn.mjTRN_JOINT:
                raise RobotError(f"robot {self.name}: actuator {i} drives no joint; only those can")
            driven.append(model.joint(model.actuator_trnid[i, 0]).name)
        for name in driven:
            if name not in self.joints.values() or driven.count(name) > 1:
                raise RobotError(
                    f"robot {self.name}: expected one actuator a joint, each among `joints`; "
                    f"{name!r} is not"
                )
        return model

    @property
    def dt(self) -> float:
        """Control step (s)."""
        return self.mj_model.opt.timestep * self.substeps

    @property
    def planar(self) -> bool:
        """The root slides and turns in the x-z plane."""
        return self.mj_model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE

    @cached_property
    def actuators(self) -> tuple[str, ...]:
        """Our names of the actuators, in the model's order: those of the joints they drive."""
        ours = {theirs: name for name, theirs in self.joints.items()}
        m = self.mj_model
        return tuple(ours[m.joint(m.actuator_trnid[i, 0]).name] for i in range(m.nu))

    @cached_property
    def foot_sensors(self) -> tuple[tuple[int, ...], ...]:
        """For each foot the numbers of its contact sensors, three values each."""
        numbers, first = [], 0
        for foot in self.feet.values():
            numbers.append(tuple(range(first, first + len(foot.geoms))))
            first += len(foot.geoms)
        return tuple(numbers)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Every field of the state, float32 `[N, *shape]`, all of the state after the step."""
        joints, bodies = tuple(self.joints), tuple(self.bodies)
        points, feet, acts = tuple(self.keypoints), tuple(self.feet), self.actuators
        j, b, k, f, a = map(len, (joints, bodies, points, feet, acts))
        return (
            Field("time", (), "s", "time since the episode began"),
            Field("phase", (), "cycles", "gait clock, 0 to 1; at 0 the first foot lands"),
            Field("root_pos", (3,), "m", "root position: x forward, y left, z up"),
            Field("root_vel", (3,), "m/s", "root velocity in the world frame"),
            Field("root_rpy", (3,), "rad", "roll, pitch, yaw; pitch > 0 leans forward"),
            Field("up", (3,), "1", "the root's z axis in the world frame; upright is (0, 0, 1)"),
            Field("root_angvel", (3,), "rad/s", "root angular velocity in the world frame"),
            Field("joint_pos", (j,), "rad", "joint angles, in the MJCF's signs", joints),
            Field("joint_vel", (j,), "rad/s", "joint velocities", joints),
            Field("body_pos", (b, 3), "m", "origins of the bodies in the world frame", bodies),
            Field("body_vel", (b, 3), "m/s", "velocities of those origins", bodies),
            Field("keypoint_pos", (k, 3), "m", "anatomical points in the world frame", points),
            Field("keypoint_vel", (k, 3), "m/s", "velocities of those points", points),
            Field("foot_height", (f,), "m", "lowest point of the sole above the ground", feet),
            Field("foot_contact", (f,), "0 or 1", "the sole is lower than 3 mm", feet),
            Field("foot_force", (f,), "N", "contact force in the last physics step", feet),
            Field("foot_vel", (f, 3), "m/s", "velocity of the middle of the sole", feet),
            Field("air_time", (f,), "s", "time since the foot left the ground; 0 in contact", feet),
            Field("contact_time", (f,), "s", "time since the foot landed; 0 in the air", feet),
            Field("action", (a,), "1", "this step's action, within -1 and 1", acts),
            Field("prev_action", (a,), "1", "the action of the step before", acts),
            Field("power", (), "W", "sum over actuators of |force x velocity|"),
        )


def compiled(spec: mujoco.MjSpec) -> mujoco.MjModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the asset's deprecated attributes
        return spec.compile()


def mirrored(name: str) -> str:
    """`right_knee` <-> `left_knee`; other names stay."""
    side, _, rest = name.partition("_")
    other = {"right": "left", "left": "right"}.get(side)
    return f"{other}_{rest}" if other else name


def load_robot(name: str, folder: Path = ROBOTS) -> Robot:
    """The robot of robots/NAME/robot.yaml. Raises RobotError in one line."""
    known = sorted(p.parent.name for p in folder.glob("*/robot.yaml"))
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RobotError(f"expected a robot among {', '.join(known)}, got {name!r}{hint}")
    path = folder / name / "robot.yaml"
    try:
        robot = Robot(name=name, **yaml.safe_load(path.read_text()))
        robot.mj_model  # noqa: B018 - compiled at the door, so that a bad MJCF is named here
        return robot
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RobotError(f"{path}: {where}: {first['msg']}") from e
    except (yaml.YAMLError, TypeError) as e:
        raise RobotError(f"{path}: expected a mapping in YAML: {e}") from e
