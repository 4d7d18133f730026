"""Robots that are not the only tree below the world, or not its first body, and joints in another order."""

import mujoco
import numpy as np
import pytest
import torch
from foreign_robot import DATA, foreign
from test_foreign_robots import BALL, ROOT, env_of

from reelward.sim.env import Env
from reelward.sim.gpu import GpuPhysics

TRUNK = '<body name="trunk" pos="0 0 0.9">'
CLOSED = ("</worldbody>", "</body></worldbody>")
TREES = {
    "pedestal": [(TRUNK, f'<body pos="2 1 0"><geom size="0.3" mass="50"/>{TRUNK}'), CLOSED],
    "deeper root": [
        (TRUNK + "\n      " + ROOT, '<body name="pelvis" pos="0 0 0.9"><freejoint/><geom size="0.1" mass="8" '
         'pos="0.2 0.1 0"/><body name="trunk" pos="0 0 0.1"><joint name="waist" axis="0 0 1"/>'),
        CLOSED,
    ],
    "ball": [(TRUNK, BALL + TRUNK)],
    "welded": [("<worldbody>", '<worldbody><body name="sign" pos="3 0 1"><geom size="0.2"/></body>')],
}  # fmt: skip


def moving(env: Env) -> Env:
    """After random steps."""
    speeds = torch.randn(env.physics.qvel.shape, generator=env.rngs[0])
    env.physics.qvel.copy_(speeds)
    for _ in range(10):
        env.step(torch.rand(env.n, env.action_space.size, generator=env.rngs[0]) * 2 - 1)
    return env


def differs_from_mujoco(env: Env) -> float:
    """The largest difference (m/s) of the velocities of root, bodies and keypoints from
    mj_objectVelocity, in the states of `env`."""
    robot, m = env.robot, env.robot.mj_model
    data, worst = mujoco.MjData(m), 0.0
    for i in range(env.n):
        data.qpos[:], data.qvel[:] = env.physics.qpos[i].cpu(), env.physics.qvel[i].cpu()
        mujoco.mj_forward(m, data)
        places = [(robot.root, 0, 0, 0), *((b, 0, 0, 0) for b in robot.bodies.values())]
        for field, points in (("root_vel", places[:1]), ("body_vel", places[1:]),
                              ("keypoint_vel", robot.keypoints.values())):  # fmt: skip
            velocities = env.fields[field][i].view(-1, 3).cpu().numpy()
            for (body, *at), velocity in zip(points, velocities, strict=True):
                motion = np.zeros(6)
                number = m.body(body).id
                mujoco.mj_objectVelocity(m, data, mujoco.mjtObj.mjOBJ_XBODY, number, motion, False)
                arm = data.xmat[number].reshape(3, 3) @ at
                worst = max(worst, np.abs(motion[3:] + np.cross(motion[:3], arm) - velocity).max())
    return worst


@pytest.mark.parametrize("kind", TREES)
def test_velocities_are_right_in_every_kinematic_tree(tmp_path, kind):
    body = {"ball": "ball", "welded": "sign"}.get(kind, "r_leg")
    places = DATA["keypoints"] | {"mark": [body, 0.05, 0.1, 0.2]}
    robot = foreign(
        tmp_path, *TREES[kind], keypoints=places, bodies={"trunk": "trunk", "other": body}
    )
    env = moving(env_of(robot))
    assert env.fields["root_vel"].abs().max() > 0.1 and differs_from_mujoco(env) < 1e-5


def test_velocities_are_right_in_every_kinematic_tree_on_warp_too(tmp_path):
    """On Warp's CPU device: a deeper root and a ball in one model."""
    ball = [("<worldbody>", "<worldbody>" + BALL)]
    robot = foreign(
        tmp_path, *TREES["deeper root"], *ball,
        keypoints=DATA["keypoints"] | {"mark": ["ball", 0.05, 0.1, 0.2]}, bodies={"ball": "ball"},
    )  # fmt: skip
    assert differs_from_mujoco(moving(Env(robot, GpuPhysics(robot, 2, "cpu"), seed=0))) < 1e-4


def test_an_action_has_its_columns_in_the_order_of_the_joints(tmp_path):
    """Where the YAML names them in another order than the MJCF's actuators."""
    hips = [("right_hip", "r_hip"), ("left_hip", "l_hip")]
    right, left = (
        env_of(foreign(tmp_path, joints=dict(joints))) for joints in (hips, reversed(hips))
    )
    assert right.robot.actuators == ("right_hip", "left_hip")
    assert left.robot.actuators == ("left_hip", "right_hip")
    for _ in range(5):
        right.step(torch.tensor([[-0.5, 1.0]] * 2))
        left.step(torch.tensor([[1.0, -0.5]] * 2))
    assert torch.equal(right.physics.qpos, left.physics.qpos)
    for field in ("action", "joint_vel"):
        assert torch.equal(right.fields[field], left.fields[field].flip(1))
    names = {f.name: f.names for f in left.robot.fields}
    assert names["action"] == names["prev_action"] == names["joint_pos"] == names["joint_vel"]
