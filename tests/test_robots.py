"""Robots: the YAML, where it is looked for, and the list of fields that comes from it."""

import shutil
import subprocess
import sys
from pathlib import Path

import mujoco
import pytest
import torch
import yaml
from conftest import ROOT

from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.fields import FIELDS
from reelward.sim.mjcf import Robot, Targets
from reelward.sim.robot import load_robot
from reelward.sim.schema import RobotError


def test_unknown_robot_names_the_nearest():
    with pytest.raises(RobotError, match=r"got 'bipde'; did you mean biped\?"):
        load_robot("bipde")


@pytest.mark.parametrize(
    "edit, complaint",
    [
        ("substeps: 0.5", "substeps = 0.5: expected a whole number above 0"),
        ("spare: 1", "spare = 1: unknown key; known keys: episode_s, model"),
        ("model: gymnasium:none.xml", "cannot read"),
        ("root: chest", "root: the model has no body 'chest'; known keys: torso"),
        ("substeps: 0", "substeps = 0: expected a whole number above 0"),
        ("joint_range_deg: {hip: [0, 9]}", "joint_range_deg: the model has no joint 'hip'; "),
        (
            "joints: {right_hip: thigh_joint}",
            "not among them: 'leg_joint', 'foot_joint', .*; add NAME: leg_joint",
        ),
    ],
)
def test_a_bad_robot_is_refused_in_one_line(tmp_path: Path, edit: str, complaint: str):
    key = edit.split(":")[0]
    edited = yaml.safe_load((ROOT / "robots/biped/robot.yaml").read_text()) | yaml.safe_load(edit)
    if key == "joints":
        edited |= {"symmetric": False, "reset": {}}
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/robot.yaml").write_text(yaml.safe_dump(edited))
    with pytest.raises(RobotError, match=complaint) as error:
        load_robot("odd", tmp_path)
    assert "\n" not in str(error.value)


def test_robots_are_found_outside_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assets = load_robot("hopper").path.parent
    monkeypatch.chdir(tmp_path)
    assert load_robot("biped") == load_robot("biped", ROOT / "robots")
    mine = Path("robots/mine")
    mine.mkdir(parents=True)
    text = (ROOT / "robots/hopper/robot.yaml").read_text()
    (mine / "robot.yaml").write_text(text.replace("gymnasium:hopper.xml", "own.xml"))
    shutil.copy(assets / "hopper.xml", mine / "own.xml")
    robot = load_robot("mine")
    assert robot.folder == mine and robot.path == mine / "own.xml" and robot.actuators[0] == "hip"
    with pytest.raises(RobotError, match="expected a robot among ant, .*, mine, .*, got 'yours'"):
        load_robot("yours")


def test_the_working_directory_comes_before_the_package(tmp_path, monkeypatch):
    folder = tmp_path / "robots/biped"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "robots/hopper/robot.yaml", folder)
    monkeypatch.chdir(tmp_path)
    assert load_robot("biped").actuators == ("hip", "knee", "ankle")


def test_fields_are_listed_without_torch():
    code = (
        "import sys; from reelward.sim.robot import load_robot; "
        "print(len(load_robot('biped').fields), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"{len(FIELDS)} False\n", done.stderr


def test_fields_of_parts_have_their_names():
    fields = {f.name: f for f in load_robot("hopper").fields}
    assert fields["joint_pos"].names == ("hip", "knee", "ankle")
    assert fields["foot_vel"].shape == (1, 3) and fields["foot_vel"].names == ("right",)
    assert fields["root_pos"].shape == (3,) and fields["root_pos"].names == ()


def test_sensors_of_the_mjcf_are_left_out(tmp_path):
    """The feet's sensors are the only ones, so that their numbers count from zero."""
    hopper = load_robot("hopper")
    spec = mujoco.MjSpec.from_file(str(hopper.path))
    spec.add_sensor(name="own", type=mujoco.mjtSensor.mjSENS_CLOCK)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/own.xml").write_text(spec.to_xml())
    text = (ROOT / "robots/hopper/robot.yaml").read_text()
    (tmp_path / "mine/robot.yaml").write_text(text.replace("gymnasium:hopper.xml", "own.xml"))
    model = load_robot("mine", tmp_path).mj_model
    assert [model.sensor(i).name for i in range(model.nsensor)] == ["foot_geom"]


ARM = """
<mujoco>
  <compiler angle="degree"/>
  <option timestep="0.002" integrator="implicitfast"/>
  <worldbody>
    <body name="arm" pos="0 0 2">
      <joint name="hinge" type="hinge" axis="0 -1 0" damping="0.1"/>
      <geom name="rod" type="sphere" pos="0 0 -0.5" size="0.05" mass="1"/>
    </body>
  </worldbody>
  <actuator><motor joint="hinge" gear="20" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
"""A mass of 1 kg that hangs half a metre below a hinge; its motor gives 20 N m at most."""

ARM_YAML = {
    "model": "arm.xml", "substeps": 10, "episode_s": 5.0, "root": "arm", "leg_length_m": 1.0,
    "joints": {"shoulder": "hinge"}, "bodies": {"arm": "arm"},
    "keypoints": {"hand": ["arm", 0, 0, -0.5]}, "symmetric": False, "reset": {},
    "camera": {"distance": 2.0, "height": 1.0},
    "actuation": {
        "kind": "targets", "default": {"shoulder": 0.4}, "scale": 0.5, "kp": 40.0, "kd": 4.0,
    },
}  # fmt: skip


def arm(folder: Path, **changes: object) -> Robot:
    (folder / "arm").mkdir()
    (folder / "arm/arm.xml").write_text(ARM)
    (folder / "arm/robot.yaml").write_text(yaml.safe_dump(ARM_YAML | changes))
    return load_robot("arm", folder)


@pytest.mark.parametrize("action", [0.0, 1.0, -1.0])
def test_an_action_moves_the_target_around_the_default_pose(tmp_path: Path, action: float):
    robot = arm(tmp_path)
    env = Env(robot, CpuPhysics(robot, 2), seed=0)
    for _ in range(150):  # 3 s
        terminated, _ = env.step(torch.full((2, 1), action))
        assert not terminated.any()
    target, angle = 0.4 + 0.5 * action, env.fields["joint_pos"].double()
    # By hand: the spring's torque carries the weight, kp (target - angle) = m g l sin(angle).
    torch.testing.assert_close(40.0 * (target - angle), 9.81 * 0.5 * angle.sin(), atol=1e-3, rtol=0)
    assert (angle - target).abs().max() < 0.12
    torch.testing.assert_close(env.fields["power"], torch.zeros(2), atol=1e-3, rtol=0)


def test_targets_are_followed_with_the_strength_of_the_motor(tmp_path: Path):
    model = arm(tmp_path).mj_model
    assert model.actuator_forcerange.tolist() == [[-20.0, 20.0]] and model.actuator_forcelimited
    assert model.actuator_ctrlrange[0].tolist() == pytest.approx([-0.1, 0.9])
    assert model.actuator_gear[0, 0] == 1.0


def test_torques_are_the_default(tmp_path: Path):
    changes = {k: v for k, v in ARM_YAML.items() if k != "actuation"}
    (tmp_path / "arm").mkdir()
    (tmp_path / "arm/arm.xml").write_text(ARM)
    (tmp_path / "arm/robot.yaml").write_text(yaml.safe_dump(changes))
    model = load_robot("arm", tmp_path).mj_model
    assert model.actuator_gear[0, 0] == 20.0 and model.actuator_biastype[0] == 0


def test_a_joint_that_has_no_default_rests_where_the_model_has_it():
    biped = load_robot("biped")
    targets = Targets(kind="targets", default={"left_hip": 0.3}, scale=0.5, kp=80.0, kd=2.0)
    model = biped.model_copy(update={"actuation": targets})
    model.__dict__.pop("mj_model", None)
    middle = model.mj_model.actuator_ctrlrange.mean(1)
    assert dict(zip(biped.actuators, middle.tolist(), strict=True)) == {
        name: pytest.approx(0.3 if name == "left_hip" else 0.0) for name in biped.actuators
    }
    # Walker2d's hips have motors of 100 N m.
    assert model.mj_model.actuator_forcerange[0].tolist() == [-100.0, 100.0]


def test_a_robot_without_feet_has_no_fields_of_feet(tmp_path: Path):
    robot = arm(tmp_path)
    assert not [f.name for f in robot.fields if f.name.startswith(("foot", "air", "contact"))]
    env = Env(robot, CpuPhysics(robot, 2), seed=0)
    # A hinge alone: its angle and velocity, and the clock's two cosines and sines.
    assert env.observe().shape == (2, 6)
    assert all(env.fields[f.name].shape == (2, *f.shape) for f in robot.fields)


def test_a_bad_actuation_is_refused_in_one_line(tmp_path: Path):
    wrong = ARM_YAML["actuation"] | {"default": {"elbow": 1.0}}
    with pytest.raises(RobotError, match="actuation.default: elbow is not among the joints"):
        arm(tmp_path, actuation=wrong)
