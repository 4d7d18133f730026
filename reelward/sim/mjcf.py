"""A robot that has an MJCF: the YAML that names its parts, and the compiled model.

Names on the left of the YAML are reelward's, names on the right are the MJCF's.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import mujoco
import numpy as np
from pydantic import Field as Key
from pydantic import PositiveFloat, PositiveInt, model_validator

from reelward.runtime.validation import nearest
from reelward.sim.base import Base, base
from reelward.sim.field import Field
from reelward.sim.fields import FIELDS, Part
from reelward.sim.parts import (
    Camera,
    Foot,
    Healthy,
    Place,
    Range,
    Reset,
    Targets,
    Torques,
    mirrored,
)
from reelward.sim.schema import BaseRobot, RobotError

GYMNASIUM = "gymnasium:"
"""prefix of a model that is an asset of the installed Gymnasium"""
_NETFORCE = 3
"""MuJoCo's code for reducing a contact sensor's matches to their summed force"""


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
    joint_range_deg: dict[str, Range] = {}
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
    keypoints: dict[str, Place]
    """body, and the position in its frame (m)"""
    feet: dict[str, Foot] = {}
    actuation: Annotated[Torques | Targets, Key(discriminator="kind")] = Torques()
    symmetric: bool
    """right_* and left_* are mirror images of each other"""
    velocity_clip: PositiveFloat | None = None
    """the policy sees velocities clipped to +- this"""
    healthy: Healthy = Healthy()
    reset: Reset = Reset()
    camera: Camera

    @model_validator(mode="after")
    def _names_exist(self) -> Robot:
        lines = []
        for name, foot in self.feet.items():
            for point in foot.points:
                if point not in self.keypoints:
                    lines.append(f"feet.{name}.points: {point} is not among the keypoints")
        for stance in self.reset.stances:
            for joint in stance.joints:
                if joint not in self.joints:
                    lines.append(f"reset.stances: {joint} is not among the joints")
        if isinstance(self.actuation, Targets):
            for joint in self.actuation.default:
                if joint not in self.joints:
                    lines.append(f"actuation.default: {joint} is not among the joints")
        if self.reset.stances and not self.feet:
            lines.append("reset.stances: expected feet to put on the ground, got none")
        if self.symmetric:
            for name in self.joints:
                if mirrored(name) not in self.joints:
                    lines.append(f"symmetric: {name} has no mirror image {mirrored(name)}")
        for section in ("joints", "bodies"):
            theirs = list(getattr(self, section).values())
            for name in dict.fromkeys(n for n in theirs if theirs.count(n) > 1):
                lines.append(f"{section}: {name!r} of the MJCF has two names; give it one")
        geoms = [g for foot in self.feet.values() for g in foot.geoms]
        for name in dict.fromkeys(g for g in geoms if geoms.count(g) > 1):
            lines.append(f"feet: geom {name!r} is in two feet; give each its own")
        if lines:
            raise ValueError("\n".join(lines))
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
        except (ValueError, OSError) as e:
            raise self.error([f"cannot read {self.path}: {e}"]) from e
        if self.timestep:
            spec.option.timestep = self.timestep
        if self.integrator:
            code = f"mjINT_{self.integrator.upper()}"
            spec.option.integrator = getattr(mujoco.mjtIntegrator, code)
        if self.solver:
            spec.option.solver = mujoco.mjtSolver.mjSOL_NEWTON
        names = {body.name for body in spec.bodies}
        for body in spec.bodies:
            if not body.name and body.joints and body.joints[0].name not in names:
                body.name = body.joints[0].name
        if lines := [*self._missing(spec), *self._set_ranges(spec)]:
            raise self.error(lines)
        if isinstance(self.actuation, Targets):
            self._follow_targets(spec, self.actuation)
        for sensor in spec.sensors:
            spec.delete(sensor)  # the feet's are the only ones that anything reads
        spec.option.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
        for geom in (g for f in self.feet.values() for g in f.geoms):
            spec.add_sensor(
                name=geom,
                type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_GEOM,
                objname=geom,
                intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), _NETFORCE, 1],
            )
        return spec

    def error(self, lines: list[str]) -> RobotError:
        """An error of this robot, with these complaints."""
        lines = [" ".join(line.split()) for line in lines]
        return RobotError("\n".join(f"robot {self.name}: {line}" for line in lines))

    def _missing(self, spec: mujoco.MjSpec) -> list[str]:
        """Names of robot.yaml that the MJCF does not have."""
        wanted = [("joint", f"joints.{ours}", name) for ours, name in self.joints.items()] + [
            ("body", f"bodies.{ours}", name) for ours, name in self.bodies.items()
        ]
        wanted += [("body", "root", self.root)]
        wanted += [
            ("body", f"keypoints.{ours}", place[0]) for ours, place in self.keypoints.items()
        ]
        wanted += [
            ("geom", f"feet.{ours}.geoms", name) for ours, foot in self.feet.items() for name in foot.geoms
        ]  # fmt: skip
        if self.reset.keyframe is not None:
            wanted += [("key", "reset.keyframe", self.reset.keyframe)]
        having = {
            "joint": spec.joints, "body": spec.bodies[1:], "geom": spec.geoms, "key": spec.keys,
        }  # fmt: skip
        lines = {}
        for kind, path, name in wanted:
            known = [element.name for element in having[kind] if element.name]
            if name in known:
                continue
            what = "keyframe" if kind == "key" else kind
            hint = nearest(name, known) if known else f"none of its {what}s has a name"
            if kind == "geom" and not all(geom.name for geom in spec.geoms):
                hint = f'give the geom that touches its name in the MJCF: <geom name="{name}" .../>'
            lines[what, name] = f"{path}: the model has no {what} {name!r}; {hint}"
        return list(lines.values())

    def _set_ranges(self, spec: mujoco.MjSpec) -> list[str]:
        """Gives joints the ranges of `joint_range_deg`. Returns what is wrong with those."""
        lines = []
        for name, degrees in self.joint_range_deg.items():
            joint = spec.joint(name)
            if joint is None:
                known = [j.name for j in spec.joints if j.name]
                lines.append(
                    f"joint_range_deg: the model has no joint {name!r}; {nearest(name, known)}"
                )
            elif joint.type != mujoco.mjtJoint.mjJNT_HINGE:
                lines.append(f"joint_range_deg: {name!r} is no hinge; set its range in the MJCF")
            else:
                joint.range = degrees if spec.compiler.degree else np.radians(degrees)
                joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
        return lines

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
            low, high = _strength(actuator, spec)
            actuator.dyntype = mujoco.mjtDyn.mjDYN_NONE
            actuator.actlimited = mujoco.mjtLimited.mjLIMITED_FALSE
            actuator.set_to_position(kp=targets.kp, kv=targets.kd)
            actuator.gear = [1.0, 0, 0, 0, 0, 0]
            actuator.forcelimited = math.isfinite(low)
            if actuator.forcelimited:
                actuator.forcerange = low, high
            actuator.ctrlrange = [middle - targets.scale, middle + targets.scale]
            actuator.ctrllimited = True

    @cached_property
    def mj_model(self) -> mujoco.MjModel:
        """The compiled model. Raises RobotError."""
        spec = self.spec()
        try:
            return compiled(spec)
        except ValueError as e:
            raise self.error([f"cannot compile {self.model}: {e}"]) from e

    @cached_property
    def base(self) -> Base:
        """How the root moves in the world."""
        return base(self.mj_model, self.mj_model.body(self.root).id)[0]

    @property
    def dt(self) -> float:
        """Control step (s)."""
        return self.mj_model.opt.timestep * self.substeps

    @property
    def free(self) -> bool:
        """The root can leave the x-z plane."""
        return bool(self.base.place) and not self.base.planar

    @property
    def mirrors(self) -> bool:
        """One policy can serve right and left."""
        return self.symmetric and self.base.planar

    @cached_property
    def observed(self) -> tuple[int, ...]:
        """Columns of qpos that the policy sees: all but the place on the ground."""
        return tuple(i for i in range(self.mj_model.nq) if i not in self.base.place)

    @property
    def posture(self) -> np.ndarray:
        """Coordinates `[nq]` around which episodes start: the model's, or those of a keyframe."""
        m, key = self.mj_model, self.reset.keyframe
        return np.array(m.qpos0 if key is None else m.key(key).qpos)

    @cached_property
    def _driven(self) -> tuple[str, ...]:
        """Our names of the joints that the model's actuators drive, in the model's order."""
        ours = {theirs: name for name, theirs in self.joints.items()}
        m = self.mj_model
        return tuple(ours[m.joint(m.actuator_trnid[i, 0]).name] for i in range(m.nu))

    @cached_property
    def actuators(self) -> tuple[str, ...]:
        """Our names of the actuators, those of the joints they drive, in the order of `joints`: the
        columns of an action."""
        return tuple(name for name in self.joints if name in self._driven)

    @property
    def driven_by(self) -> tuple[int, ...]:
        """For each actuator of the model, the column of an action that drives it."""
        return tuple(self.actuators.index(name) for name in self._driven)

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
        return tuple(self._with_unit(f) for f in fields if 0 not in f.shape)

    def _with_unit(self, field: Field) -> Field:
        """The field, with metres for joints that slide."""
        if not field.name.startswith("joint_"):
            return field
        m = self.mj_model
        slides = [
            name for name, theirs in self.joints.items()
            if m.joint(theirs).type[0] == mujoco.mjtJoint.mjJNT_SLIDE
        ]  # fmt: skip
        metres = field.unit.replace("rad", "m")
        if len(slides) == len(self.joints):
            return replace(field, unit=metres, meaning=field.meaning.replace("angle", "position"))
        note = f"; {metres} for {', '.join(slides)}, which slide" if slides else ""
        return replace(field, meaning=field.meaning + note)


def _strength(actuator: mujoco.MjsActuator, spec: mujoco.MjSpec) -> tuple[float, float]:
    """The least and the greatest force (N m) on the joint that an actuator may exert; infinite
    where the MJCF sets no bound."""

    def bounds(which: str) -> np.ndarray | None:
        limited, ends = getattr(actuator, f"{which}limited"), getattr(actuator, f"{which}range")
        automatic = limited == mujoco.mjtLimited.mjLIMITED_AUTO and spec.compiler.autolimits
        on = limited == mujoco.mjtLimited.mjLIMITED_TRUE or (automatic and ends[0] < ends[1])
        return np.array(ends) if on else None

    low, high, gear = -math.inf, math.inf, actuator.gear[0]
    motor = actuator.biastype == mujoco.mjtBias.mjBIAS_NONE  # its range is a force
    for ends, scale in (
        (bounds("ctrl") if motor else None, gear * actuator.gainprm[0]),
        (bounds("force"), gear),
    ):
        if ends is not None:
            least, most = sorted(scale * ends)
            low, high = max(low, least), min(high, most)
    return low, high


def compiled(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """The model of `spec`. Raises ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the asset's deprecated attributes
        return spec.compile()
