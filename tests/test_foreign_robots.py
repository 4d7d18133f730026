"""MJCFs that reelward did not write: what is odd in them is right, or refused with what mends it."""

import mujoco
import numpy as np
import pytest
import torch
from foreign_robot import foreign

from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.schema import RobotError

SLIDE_X, SLIDE_Z, TURN = (
    '<joint name="tx" type="slide" axis="1 0 0"/>',
    '<joint name="tz" type="slide" axis="0 0 1"/>',
    '<joint name="ty" type="hinge" axis="0 1 0"/>',
)
FLOOR = '<geom name="floor" type="plane" size="40 40 1"/>'
ROOT = "\n      ".join((SLIDE_X, SLIDE_Z, TURN))
MOTOR = '<motor name="r_motor" joint="r_hip" gear="100" ctrlrange="-1 1"/>'
END = "</mujoco>"
STANCES = [{"phase": 0.25, "joints": {"right_hip": 0.1, "left_hip": 0.6}}]
TARGETS = {"kind": "targets", "scale": 0.5, "kp": 80.0, "kd": 2.0}
HILLS = [("<option", '<asset><hfield name="h" nrow="2" ncol="2" size="9 9 1 1"/></asset><option')]
SENSORS = '<site name="imu"/><body name="r_leg" pos="0 -0.06 0">'
IMU = '<sensor><gyro site="imu"/><accelerometer site="imu"/></sensor>'
BALL = '<body name="ball" pos="3 0 1"><freejoint/><geom size="0.1"/></body>'


def env_of(robot, n: int = 2, **options) -> Env:
    return Env(robot, CpuPhysics(robot, n), **{"seed": 0} | options)


def stepped(env: Env, steps: int, action: float = 0.0) -> Env:
    for _ in range(steps):
        env.step(torch.full((env.n, env.action_space.size), action))
    return env


FOOT = {"points": ["right_heel", "right_toe"], "radius": 0.04, "geoms": ["r_foot"]}


# --- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new, complaint",
    [
        # actuators
        (' ctrlrange="-1 1"', "", "no ctrlrange.*'r_motor', 'l_motor'; give each ctrlrange=\"-1 1\""),
        (MOTOR, '<position name="p" joint="r_hip" kp="9"/>', "'p'; give each inheritrange=\"1\""),
        (MOTOR, f"{MOTOR}{MOTOR.replace('r_motor', 'b')}", "one actuator a joint; 'r_hip' has several"),
        (MOTOR, '<adhesion name="a" body="r_leg" ctrlrange="0 1"/>', "of the model's, 'a' drive tendons"),
        (MOTOR, '<motor joint="ty" ctrlrange="-1 1"/>', "not among them: 'ty'; add NAME: ty"),
        ("<option", '<option actuatorgroupdisable="0"', "'r_motor', 'l_motor' are off by <option actuatorgroup"),
        ("<worldbody>", '<option><flag actuation="disable"/></option><worldbody>', "actuators are off"),
        # the root's joints
        (SLIDE_X, '<joint name="tx" type="slide" axis="1 1 0"/>', "'tx' slides along .*oblique"),
        (SLIDE_Z, '<joint name="tz" type="slide" axis="1 0 0"/>', "'tz' slides .*as another of its"),
        (ROOT, TURN + SLIDE_X, "'tx' slides .*comes after 'ty'.*before the hinges"),
        # ground
        (FLOOR, "", 'no floor at z = 0; add to its worldbody: <geom name="floor" type="plane"'),
        (FLOOR, FLOOR.replace("/>", ' pos="0 0 -0.2"/>'), "'floor' is at z = -0.2 m; expected z = 0"),
        (FLOOR, FLOOR + '<geom name="step" type="plane" size="1 1 1" pos="0 0 .1"/>', "'step' is at z ="),
        (FLOOR, FLOOR.replace("/>", ' euler="0.1 0 0"/>'), "floor 'floor' slopes; expected it level"),
        (FLOOR, '<geom name="b" type="box" size="1 1 1" pos="9 0 -1"/>', "no floor at z = 0"),
        (FLOOR, FLOOR + '<geom name="hills" type="hfield" hfield="h"/>', "'hills' is a height field"),
        (FLOOR, FLOOR.replace("/>", ' contype="0" conaffinity="0"/>'), "feet: 'r_foot', 'l_foot' pass through the"),
        ('r_foot" type', 'r_foot" contype="0" conaffinity="0" type', "feet: 'r_foot' passes through"),
        (END, '<contact><exclude body1="world" body2="l_leg"/></contact></mujoco>', "feet: 'l_foot' passes through"),
        ("<worldbody>", '<option><flag contact="disable"/></option><worldbody>', "contacts are off"),
        ("<option", '<option gravity="0 -9.81 0"', "expected a pull along -z"),
        ('geom name="r_foot"', "geom", "feet.right.geoms: .*touches its name in the MJCF: .geom name="),
        ('geom name="trunk" type', 'geom name="l_foot" type', "repeated name 'l_foot'"),
        ('<body name="trunk" pos="0 0 0.9"', '<body name="trunk" euler="0 0 3.1416" pos="0 0 0.9"',
         "root: the x axis of 'trunk' points 180 degrees away"),
        # mirrored legs
        ('joint name="l_hip" axis="0 -1 0"', 'joint name="l_hip" axis="0 1 0"', "have different axes"),
        ('joint name="l_hip" axis="0 -1 0"', 'joint name="l_hip" axis="1 0 0"', "not turn about the y"),
        ('joint="l_hip" gear="100"', 'joint="l_hip" gear="-50"', "have different actuators"),
        ('<geom name="r_foot"', '<body><joint name="toe"/><geom size=".01"/></body><geom name="r_foot"',
         "symmetric: expected every joint of the legs among `joints`; add NAME: toe"),
        # files
        ("<worldbody>", '<include file="gone.xml"/><worldbody>', "cannot read .*gone.xml"),
        ('angle="radian"', 'coordinate="global"', "cannot read .*coordinate"),
        ("</worldbody>", "</wordbody>", "cannot read .*XML_ERROR_MISMATCHED"),
    ],
)  # fmt: skip
def test_an_mjcf_that_would_mislead_is_refused_in_one_line(tmp_path, old, new, complaint):
    with pytest.raises(RobotError, match=complaint) as error:
        foreign(tmp_path, (old, new), *HILLS * ("hfield" in new))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"joints": {"right_hip": "rhip", "left_hip": "l_hip"}}, "joints.right_hip: .*did you mean r_hip"),
        ({"bodies": {"trunk": "torso"}}, "bodies.trunk: the model has no body 'torso'"),
        ({"bodies": {"a": "trunk", "b": "trunk"}}, "bodies: 'trunk' of the MJCF has two names"),
        ({"feet": {"right": FOOT | {"radius": 0.2}}}, r"feet.right: the sole \(the lowest of its points, "
         r"less radius 0.2\) lies 16.0 cm below its geoms; mend radius or the keypoints"),
        ({"keypoints": {"sole": ["r_leg", 0.1, 0, -0.6]}, "feet": {"right": FOOT | {"points": ["sole"]}}},
         "feet.right: the sole .* lies 24.0 cm above its geoms"),
        ({"leg_length_m": 88}, "leg_length_m: expected about .* 0.8.? m apart, got 88"),
        ({"leg_length_m": 0.0088}, "leg_length_m: expected about .*, got 0.0088"),
        ({"reset": {"keyframe": "home"}}, "reset.keyframe: the model has no keyframe 'home'; none"),
        ({"healthy": {"height": [1.0, 2.0]}}, "healthy.height: an episode starts at 0.9 m, outside of"),
        ({"healthy": {"pitch": [0.1, 2.0]}}, "healthy.pitch: an episode starts at 0 rad"),
        ({"healthy": {"pitch": [1, -1]}}, "healthy.pitch: expected the lower number first, got .1, -1"),
        ({"episode_s": 0.01}, "episode_s: expected at least one control step of 0.02 s"),
        ({"episode_s": float("inf")}, "episode_s = .*: expected a number above 0"),
        ({"reset": {"stances": [{"phase": 0, "joints": {"right_hip": 20}}]}},
         r"reset.stances\[0\].joints.right_hip: expected -0.8 to 1.5 rad, the joint's range, got 20"),
        ({"actuation": TARGETS | {"default": {"left_hip": 30}}, "symmetric": False}, "actuation.default.left_hip: .*got 30"),
        ({"actuation": TARGETS | {"kp": -1}}, "actuation.kp = -1: expected a number above 0"),
        ({"actuation": TARGETS | {"kpp": 1}}, "actuation.kpp = 1: unknown key; did you mean kp"),
        ({"actuation": {"kind": "speeds"}}, "actuation = .*: expected keys among"),
        ({"keypoints": {"hip": ["trunk", 0, 0]}, "feet": {}}, r"keypoints.hip.3. is missing|\[body, x, y"),
        ({"camera": {"distance": 0, "height": 1}}, "camera.distance = 0: expected a number above 0"),
        ({"feet": {"right": {"points": [], "radius": 0, "geoms": ["r_foot"]}}}, "at least one name"),
        ({"joint_range_deg": {"tx": [0, 1]}}, "joint_range_deg: 'tx' is no hinge"),
        ({"name": "other"}, "name: unknown key"),
    ],
)  # fmt: skip
def test_a_yaml_that_would_mislead_is_refused_in_one_line(tmp_path, changes, complaint):
    with pytest.raises(RobotError, match=complaint) as error:
        foreign(tmp_path, **changes)
    assert "\n" not in str(error.value)


def test_everything_wrong_in_a_yaml_is_said_at_once(tmp_path):
    with pytest.raises(RobotError) as error:
        foreign(tmp_path, substeps="five", spare=1, healthy={"hight": [0, 1]}, feet={"right": {}})
    lines = [line.partition("robot.yaml: ")[2] for line in str(error.value).splitlines()]
    assert lines[0] == "substeps = five: expected a whole number above 0"
    assert "feet.right.points is missing: expected a list of at least one name" in lines
    assert "healthy.hight = [0, 1]: unknown key; did you mean height?" in lines
    assert len(lines) == 6


def test_a_file_that_is_no_yaml_is_refused_in_one_line(tmp_path):
    foreign(tmp_path)
    for text, complaint in (
        ("a: [", "no YAML"),
        ("", "expected keys and"),
        ("a: 1\na: 2", "no YAML"),
    ):
        (tmp_path / "mine/robot.yaml").write_text(text)
        with pytest.raises(RobotError, match=complaint) as error:
            from reelward.sim.robot import load_robot

            load_robot("mine", tmp_path)
        assert "\n" not in str(error.value)


def test_a_ball_joint_is_not_taken_for_an_angle(tmp_path):
    ball = 'joint name="r_hip" type="ball"'
    motors = {"joints": {"right_hip": "r_hip"}, "symmetric": False}
    with pytest.raises(
        RobotError, match="joints.right_hip: 'r_hip' is a ball joint; expected a hinge"
    ):
        foreign(
            tmp_path,
            ('joint name="r_hip" axis="0 -1 0" range="-0.8 1.5"', ball),
            (MOTOR, ""),
            **motors,
        )


def test_a_robot_that_would_fall_for_ever_is_refused(tmp_path):
    with pytest.raises(RobotError, match="would fall for ever: nothing holds it"):
        foreign(tmp_path, (FLOOR, ""), feet={})
    foreign(tmp_path, (FLOOR, ""), ("<option", '<option gravity="0 0 0"'), feet={})


# --- right ------------------------------------------------------------------------------------


def test_sensors_of_the_mjcf_do_not_become_forces_of_feet(tmp_path):
    plain = stepped(env_of(foreign(tmp_path)), 60).fields["foot_force"].clone()
    edits = ('<body name="r_leg" pos="0 -0.06 0">', SENSORS), (END, IMU + END)
    flag = "<option", '<option><flag sensor="disable"/></option><option'
    for edit in (edits, (*edits, flag)):
        forces = stepped(env_of(foreign(tmp_path, *edit)), 60).fields["foot_force"]
        assert torch.equal(forces, plain) and forces.max() > 50


@pytest.mark.parametrize(
    "joints, place, sign",
    [
        ((SLIDE_Z, SLIDE_X, TURN), 1, 1),
        ((SLIDE_Z, TURN.replace('"0 1 0"', '"0 -1 0"'), SLIDE_X), None, 1),
        ((SLIDE_X.replace('"1 0 0"', '"-1 0 0"'), SLIDE_Z.replace('"0 0 1"', '"0 0 -1"'), TURN), 0, -1),
    ],
)  # fmt: skip
def test_joints_of_the_root_are_found_by_their_axes(tmp_path, joints, place, sign):
    reset = {"forward": [1.0, 1.0], "stances": STANCES}
    if place is None:
        with pytest.raises(RobotError, match="comes after 'ty'"):
            foreign(tmp_path, (ROOT, "".join(joints)), reset=reset)
        return
    robot = foreign(tmp_path, (ROOT, "".join(joints)), reset=reset)
    env = env_of(robot)
    assert robot.base.place == (place,) and robot.mirrors
    torch.testing.assert_close(env.fields["root_vel"], torch.tensor([[1.0, 0, 0]] * 2))
    torch.testing.assert_close(env.fields["foot_height"].min(1).values, torch.full((2,), 0.002))
    assert env.physics.qvel[0, place] == sign
    before = env.observe()
    env.physics.qpos[:, place] += 7  # the policy does not see where on the ground it is
    assert torch.equal(env.observe(), before)


@pytest.mark.parametrize("others", [BALL, BALL + BALL.replace('"ball"', '"other"')])
def test_bodies_before_the_robot_are_not_taken_for_its_root(tmp_path, others):
    plain = env_of(foreign(tmp_path, reset={"forward": [1.0, 1.0], "stances": STANCES}))
    reset = {"forward": [1.0, 1.0], "stances": STANCES}
    robot = foreign(tmp_path, ('<body name="trunk"', others + '<body name="trunk"'), reset=reset)
    env = env_of(robot)
    assert robot.mirrors and not robot.base.free
    for field in ("root_pos", "root_vel", "foot_height", "joint_pos"):
        assert torch.equal(env.fields[field], plain.fields[field]), field
    quaternion = env.physics.qpos[:, 3:7]
    assert torch.equal(quaternion.norm(dim=1), torch.ones(2, dtype=torch.float64))
    assert env.physics.qvel[:, :6].eq(0).all()  # the ball is not pushed


def test_a_robot_that_moves_in_the_ground_plane_is_not_planar(tmp_path):
    slide_y = SLIDE_Z.replace("0 0 1", "0 1 0")
    robot = foreign(tmp_path, (SLIDE_Z, slide_y), symmetric=False)
    assert robot.base.place == (0, 1) and not robot.base.planar and not robot.mirrors
    with pytest.raises(
        RobotError, match="reset.stances: the root 'trunk' cannot be put on the ground"
    ):
        foreign(tmp_path, (SLIDE_Z, slide_y), symmetric=False, reset={"stances": STANCES})


def test_activations_start_again_with_an_episode(tmp_path):
    muscle = '<general joint="r_hip" dyntype="filter" dynprm="2" gainprm="9" ctrlrange="-1 1"/>'
    env = env_of(foreign(tmp_path, (MOTOR, muscle), symmetric=False))
    fresh = env.physics.act.clone()
    stepped(env, 10, 1.0)
    assert env.physics.act.min() > 0.05
    saved = env.state_dict()
    env.reset(torch.tensor([True, False]))
    assert env.physics.act[0] == fresh[0] == 0 and env.physics.act[1] > 0.05
    env.load_state_dict(saved)
    assert env.physics.act.min() > 0.05


def test_a_keyframe_is_the_posture_of_the_start(tmp_path):
    key = '<keyframe><key name="home" qpos="0 0 0 0.3 -0.2"/></keyframe>'
    env = env_of(foreign(tmp_path, (END, key + END), reset={"keyframe": "home"}))
    torch.testing.assert_close(env.fields["joint_pos"], torch.tensor([[0.3, -0.2]] * 2))


def test_a_stance_holds_angles_and_not_distances_from_the_models_posture(tmp_path):
    joint = 'joint name="r_hip" axis="0 -1 0"'
    reset = {"stances": STANCES}
    robot = foreign(tmp_path, (joint, joint + ' ref="0.5"'), reset=reset, symmetric=False)
    torch.testing.assert_close(env_of(robot).fields["joint_pos"], torch.tensor([[0.1, 0.6]] * 2))


def test_targets_are_as_strong_as_the_mjcf_says(tmp_path):
    def strength(*edits) -> list[float] | None:
        model = foreign(tmp_path, *edits, actuation=TARGETS).mj_model
        limits = model.actuator_forcerange[0].tolist()
        return limits if model.actuator_forcelimited[0] else None

    assert strength() == [-100, 100]
    assert strength((' ctrlrange="-1 1"', "")) is None  # a motor without a bound has none
    assert strength((' ctrlrange="-1 1"', ' forcerange="-0.2 0.3"')) == pytest.approx([-20, 30])
    assert strength(
        (' ctrlrange="-1 1"', ' ctrlrange="-1 1" forcerange="-2 0.3"')
    ) == pytest.approx([-100, 30])


@pytest.mark.parametrize("angle, ends", [("radian", "-0.8 1.5"), ("degree", "-46 86")])
def test_joint_range_deg_is_in_degrees_whatever_the_mjcf_writes_in(tmp_path, angle, ends):
    robot = foreign(
        tmp_path,
        ('angle="radian"', f'angle="{angle}"'),
        ('range="-0.8 1.5"', f'limited="false" range="{ends}"'),
        joint_range_deg={"r_hip": [-45, 90]},
    )
    joint = robot.mj_model.joint("r_hip")
    assert joint.range.tolist() == pytest.approx([-np.pi / 4, np.pi / 2])
    assert robot.mj_model.jnt_limited[joint.id]


def test_joints_that_slide_are_in_metres(tmp_path):
    slide = 'joint name="r_hip" type="slide" axis="0 0 1"'
    robot = foreign(tmp_path, ('joint name="r_hip" axis="0 -1 0"', slide), symmetric=False)
    fields = {f.name: f for f in robot.fields}
    assert fields["joint_pos"].meaning.endswith("; m for right_hip, which slide")
    both = ('joint name="l_hip" axis="0 -1 0"', slide.replace("r_hip", "l_hip"))
    robot = foreign(tmp_path, ('joint name="r_hip" axis="0 -1 0"', slide), both, symmetric=False)
    fields = {f.name: f for f in robot.fields}
    assert (fields["joint_pos"].unit, fields["joint_vel"].unit) == ("m", "m/s")


def test_files_outside_of_the_folder_are_refused(tmp_path):
    light = "<mujoco><worldbody><light pos='0 0 9'/></worldbody></mujoco>"
    inside = '<include file="parts/light.xml"/><worldbody>'
    files = {"parts/light.xml": light, "../light.xml": light}
    foreign(tmp_path, ("<worldbody>", inside), files=files)
    with pytest.raises(
        RobotError, match=r"body.xml: expected every file inside of .*copy it there"
    ):
        foreign(tmp_path, ("<worldbody>", inside.replace("parts", "..")), files=files)
    with pytest.raises(RobotError, match="expected every file inside of"):
        foreign(tmp_path, ('angle="radian"', 'angle="radian" meshdir="../.."'))


def test_a_foot_that_is_a_mesh_stands_on_the_floor(tmp_path):
    """A block of 20 x 8 x 8 cm in place of each foot."""
    corners = " ".join(
        f"{x} {y} {z}" for x in (-0.06, 0.14) for y in (-0.04, 0.04) for z in (-0.88, -0.8)
    )
    sole = 'type="capsule" fromto="-0.06 0 -0.84 0.14 0 -0.84" size="0.04"'
    env = env_of(foreign(
        tmp_path,
        ("<worldbody>", f'<asset><mesh name="block" vertex="{corners}"/></asset><worldbody>'),
        (sole, 'type="mesh" mesh="block"'),
    ))  # fmt: skip
    forces = torch.stack([stepped(env, 1).fields["foot_force"].sum(1) for _ in range(30)])
    assert env.fields["foot_contact"].eq(1).all() and forces.max() > 100


def test_names_that_are_also_ours_do_no_harm(tmp_path):
    """A body without a name is called after its joint only where that name is free; includes, defaults,
    assets in folders and attached models with name spaces are MuJoCo's to resolve."""
    unnamed = foreign(tmp_path, ('body name="l_leg"', "body"), ('name="trunk" pos', 'name="l_hip" pos'),
                      root="l_hip", bodies={}, feet={}, keypoints={})  # fmt: skip
    assert mujoco.mj_name2id(unnamed.mj_model, mujoco.mjtObj.mjOBJ_BODY, "l_hip") == 1
    wings = '<mujoco><worldbody><body name="wing"><geom size="0.05"/></body></worldbody></mujoco>'
    attached = foreign(
        tmp_path,
        ("<worldbody>", '<asset><model name="w" file="parts/wing.xml"/></asset><worldbody>'),
        ("</worldbody>", '<frame><attach model="w" body="wing" prefix="a/"/></frame></worldbody>'),
        files={"parts/wing.xml": wings},
        bodies={"wing": "a/wing"},
    )
    assert attached.fields


@pytest.mark.parametrize("floor", [
    '<geom name="ground" type="plane" size="0 0 1"/>',
    '<geom type="box" size="9 9 0.5" pos="0 0 -0.5"/>',
    '<body pos="0 0 -1"><geom type="plane" size="1 1 1" pos="0 0 1"/></body>',
    FLOOR + '<geom type="plane" size="1 1 1" pos="0 0 -1"/><geom type="plane" size="1 1 1" zaxis="1 0 0" pos="-9 0 0"/>',
])  # fmt: skip
def test_floors_of_other_names_and_kinds_carry_the_robot(tmp_path, floor):
    # Held upright by no controller it falls, but never through the floor.
    env = stepped(env_of(foreign(tmp_path, (FLOOR, floor))), 150)
    assert env.fields["foot_contact"].max() == 1 and env.fields["foot_height"].min() > -0.02
