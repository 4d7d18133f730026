"""A robot that has an MJCF: the YAML that names its parts, and the compiled model.

Names on the left of the YAML are reelward's, names on the right are the MJCF's.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import mujoco
from pydantic import Field as Key
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from reelward.sim.field import Field
from reelward.sim.fields import FIELDS, Part
from reelward.sim.schema import BaseRobot, RobotError, Strict

GYMNASIUM = "gymnasium:"
"""prefix of a model that is an asset of the installed Gymnasium"""
_NETFORCE = 3
"""MuJoCo's code for reducing a contact sensor's matches to their summed force"""


class Foot(Strict):
    """A sole: keypoints on it, the radius of the geom around them (m), the geoms that touch."""

    points: tuple[str, ...]
    radius: float
    geoms: tuple[str, ...]


class Healthy(Strict):
    """An episode goes on while the root's height (m) and pitch (rad) lie inside; `state_limit`
    bounds every joint coordinate and velocity."""

    height: tuple[float, float] | None = None
    pitch: tuple[float, float] | None = None
    state_limit: float | None = None


class Stance(Strict):
    """A start posture: gait phase (cycles) and joint angles (rad)."""

    phase: float
    joints: dict[str, float]


class Reset(Strict):
    """Start states: noise around the model's posture, or around one of several stances, in which
    case the lower sole is put on the ground."""

    qpos_uniform: float = 0.0
    qvel_uniform: float = 0.0
    qvel_normal: float = 0.0
    forward: tuple[float, float] = (0.0, 0.0)
    stances: tuple[Stance, ...] = ()


class Camera(Strict):
    """The side camera: distance to the root and height of the point it looks at (m)."""

    distance: float
    height: float


class Torques(Strict):
    """An action is a fraction of each actuator's range, as the MJCF has it."""

    kind: Literal["torques"] = "torques"


class Targets(Strict):
    """An action moves a target around a default pose, which position actuators follow."""

    kind: Literal["targets"]
    default: dict[str, float] = {}
    """pose of the action zero: joint angles (rad); a joint that is not named stays at the model's"""
    scale: PositiveFloat
    """distance of the target at an action of 1 (rad)"""
    kp: PositiveFloat
    """stiffness (N m/rad)"""
    kd: NonNegativeFloat
    """damping (N m s/rad)"""


class Robot(BaseRobot):
    """What robot.yaml contains where the robot is an MJCF. Relations between its parts are checked
    when it is loaded."""

    model: str
    """`gymnasium:FILE` for an asset of the installed Gymnasium, else a file beside the YAML"""
    timestep: PositiveFloat | None = None
    """physics step (s), where it is not the MJCF's"""
    integrator: Literal["Euler", "RK4", "implicitfast"] | None = None
    """where it is not the MJCF's"""
    solver: Literal["Newton"] | None = None
    """where it is not the MJCF's"""
    joint_range_deg: dict[str, tuple[float, float]] = {}
    """ranges of joints, by the MJCF's names, where they are not the MJCF's"""
    substeps: PositiveInt
    """physics steps a control step"""
    root: str
    """body of the trunk"""
    leg_length_m: PositiveFloat
    """hip to ground, standing"""
    joints: dict[str, str]
    bodies: dict[str, str]
    """a body without a name is called after its first joint"""
    keypoints: dict[str, tuple[str, float, float, float]]
    """body, and the position in its frame (m)"""
    feet: dict[str, Foot] = {}
    actuation: Annotated[Torques | Targets, Key(discriminator="kind")] = Torques()
    symmetric: bool
    """right_* and left_* are mirror images of each other"""
    velocity_clip: PositiveFloat | None = None
    """the policy sees velocities clipped to +- this"""
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
        if isinstance(self.actuation, Targets):
            for joint in self.actuation.default:
                if joint not in self.joints:
                    raise ValueError(f"actuation.default: {joint} is not among the joints")
        if self.reset.stances and not self.feet:
            raise ValueError("reset.stances: expected feet to put on the ground, got none")
        if self.symmetric:
            for name in self.joints:
                if mirrored(name) not in self.joints:
                    raise ValueError(f"symmetric: {name} has no mirror image {mirrored(name)}")
        return self

    @property
    def path(self) -> Path:
        """The MJCF."""
        if not self.model.startswith(GYMNASIUM):
            return self.folder / self.model
        package = importlib.util.find_spec("gymnasium")
        assert package is not None and package.origin is not None, "gymnasium is not installed"
        assets = Path(package.origin).parent / "envs/mujoco/assets"
        return assets / self.model.removeprefix(GYMNASIUM)

    def spec(self) -> mujoco.MjSpec:
        """The MJCF with the YAML's changes and a contact sensor for each foot. Raises RobotError."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the asset's deprecated attributes
                spec = mujoco.MjSpec.from_file(str(self.path))
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
            if isinstance(self.actuation, Targets):
                self._follow_targets(spec, self.actuation)
            for sensor in spec.sensors:
                spec.delete(sensor)  # the feet's are the only ones that anything reads
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
            raise RobotError(f"robot {self.name}: cannot read {self.path}: {e}") from e

    def _follow_targets(self, spec: mujoco.MjSpec, targets: Targets) -> None:
        """Turns each actuator into a position actuator that is as strong as it was."""
        ours = {theirs: name for name, theirs in self.joints.items()}
        for actuator in spec.actuators:
            joint = spec.joint(actuator.target)
            if joint is None:
                continue  # refused with a reason once the model is compiled
            in_degrees = spec.compiler.degree and joint.type == mujoco.mjtJoint.mjJNT_HINGE
            rest = math.radians(joint.ref) if in_degrees else joint.ref
            middle = targets.default.get(ours.get(joint.name, ""), rest)
            if actuator.biastype == mujoco.mjtBias.mjBIAS_NONE:  # a motor: its range is a force
                strength = actuator.gear[0] * actuator.gainprm[0] * actuator.ctrlrange
                actuator.forcerange = sorted(strength)
                actuator.forcelimited = True
            actuator.set_to_position(kp=targets.kp, kv=targets.kd)
            actuator.gear = [1.0, 0, 0, 0, 0, 0]
            actuator.ctrlrange = [middle - targets.scale, middle + targets.scale]
            actuator.ctrllimited = True

    @cached_property
    def mj_model(self) -> mujoco.MjModel:
        """The compiled model. Raises RobotError."""
        try:
            model = compiled(self.spec())
        except RobotError:
            raise
        except ValueError as e:
            raise RobotError(f"robot {self.name}: cannot compile {self.model}: {e}") from e
        for kind, names in (
            ("joint", self.joints.values()),
            ("body", [self.root, *self.bodies.values()]),
            ("body", [k[0] for k in self.keypoints.values()]),
            ("geom", [g for f in self.feet.values() for g in f.geoms]),
        ):
            code = getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}")
            for name in names:
                if mujoco.mj_name2id(model, code, name) < 0:
                    raise RobotError(f"robot {self.name}: the model has no {kind} {name!r}")
        driven = []
        for i in range(model.nu):
            if model.actuator_trntype[i] != mujoco.mjtTrn.mjTRN_JOINT:
                raise RobotError(
                    f"robot {self.name}: expected actuators that drive joints; actuator {i} of the "
                    "model drives something else"
                )
            driven.append(model.joint(model.actuator_trnid[i, 0]).name)
        for name, count in Counter(driven).items():
            if name not in self.joints.values() or count > 1:
                raise RobotError(
                    f"robot {self.name}: expected one actuator a joint, each among `joints`; "
                    f"{name!r} is not"
                )
        return model

    @property
    def dt(self) -> float:
        """Control step (s)."""
        return self.mj_model.opt.timestep * self.substeps

    @cached_property
    def free(self) -> bool:
        """The root moves freely in space."""
        return bool(self.mj_model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE)

    @cached_property
    def planar(self) -> bool:
        """The root slides and turns in the x-z plane."""
        return bool(self.mj_model.jnt_type[0] == mujoco.mjtJoint.mjJNT_SLIDE)

    @property
    def mirrors(self) -> bool:
        """One policy can serve right and left."""
        return self.symmetric and self.planar

    @property
    def unobserved(self) -> int:
        """Leading coordinates of qpos that the policy does not see: the place on the ground."""
        return 2 if self.free else 1 if self.planar else 0

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
        """Every field of the state; those of parts that the robot lacks are left out."""
        parts: dict[Part, tuple[str, ...]] = {
            "joints": tuple(self.joints), "bodies": tuple(self.bodies),
            "keypoints": tuple(self.keypoints), "feet": tuple(self.feet),
            "actuators": self.actuators,
        }  # fmt: skip
        fields = (f.of(parts) for f in FIELDS.values())
        return tuple(f for f in fields if 0 not in f.shape)


def compiled(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """The model of `spec`. Raises ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the asset's deprecated attributes
        return spec.compile()


def mirrored(name: str) -> str:
    """`right_knee` <-> `left_knee`; other names stay as they are."""
    side, _, rest = name.partition("_")
    other = {"right": "left", "left": "right"}.get(side)
    return f"{other}_{rest}" if other else name
