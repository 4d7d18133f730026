"""Robots: the YAML, where it is looked for, and the list of fields that comes from it."""

import shutil
import subprocess
import sys
from pathlib import Path

import mujoco
import pytest
import yaml
from conftest import ROOT

from reelward.sim.fields import FIELDS
from reelward.sim.robot import load_robot
from reelward.sim.schema import RobotError


def test_unknown_robot_names_the_nearest():
    with pytest.raises(RobotError, match=r"got 'bipde'; did you mean biped\?"):
        load_robot("bipde")


@pytest.mark.parametrize(
    "edit, complaint",
    [
        ("substeps: 0.5", "substeps: Input should be a valid integer"),
        ("spare: 1", "spare: Extra inputs are not permitted"),
        ("model: gymnasium:none.xml", "cannot read"),
        ("root: chest", "the model has no body 'chest'"),
        ("substeps: 0", "substeps: Input should be greater than 0"),
        ("joint_range_deg: {hip: [0, 9]}", "joint_range_deg: it has no joint 'hip'"),
        (
            "joints: {right_hip: thigh_joint}",
            "each among `joints`; 'leg_joint' is not",
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
