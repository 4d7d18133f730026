"""A small planar robot of somebody else: an MJCF to which tests do odd things."""

from __future__ import annotations

from pathlib import Path

import yaml

from reelward.sim.mjcf import Robot
from reelward.sim.robot import load_robot

BODY = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.004" integrator="implicitfast"/>
  <worldbody>
    <light pos="0 0 4"/>
    <geom name="floor" type="plane" size="40 40 1"/>
    <body name="trunk" pos="0 0 0.9">
      <joint name="tx" type="slide" axis="1 0 0"/>
      <joint name="tz" type="slide" axis="0 0 1"/>
      <joint name="ty" type="hinge" axis="0 1 0"/>
      <geom name="trunk" type="capsule" fromto="0 0 0 0 0 0.4" size="0.07" mass="12"/>
      <body name="r_leg" pos="0 -0.06 0">
        <joint name="r_hip" axis="0 -1 0" range="-0.8 1.5" damping="1" armature="0.02"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.8" size="0.05" mass="4"/>
        <geom name="r_foot" type="capsule" fromto="-0.06 0 -0.84 0.14 0 -0.84" size="0.04"/>
      </body>
      <body name="l_leg" pos="0 0.06 0">
        <joint name="l_hip" axis="0 -1 0" range="-0.8 1.5" damping="1" armature="0.02"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.8" size="0.05" mass="4"/>
        <geom name="l_foot" type="capsule" fromto="-0.06 0 -0.84 0.14 0 -0.84" size="0.04"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor name="r_motor" joint="r_hip" gear="100" ctrlrange="-1 1"/>
    <motor name="l_motor" joint="l_hip" gear="100" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""
"""The soles hang 2 cm above the floor."""

DATA = {
    "model": "body.xml", "substeps": 5, "episode_s": 10.0, "root": "trunk", "leg_length_m": 0.88,
    "joints": {"right_hip": "r_hip", "left_hip": "l_hip"},
    "bodies": {"trunk": "trunk"},
    "keypoints": {
        "hip": ["trunk", 0, 0, 0],
        "right_heel": ["r_leg", -0.06, 0, -0.84], "right_toe": ["r_leg", 0.14, 0, -0.84],
        "left_heel": ["l_leg", -0.06, 0, -0.84], "left_toe": ["l_leg", 0.14, 0, -0.84],
    },
    "feet": {
        "right": {"points": ["right_heel", "right_toe"], "radius": 0.04, "geoms": ["r_foot"]},
        "left": {"points": ["left_heel", "left_toe"], "radius": 0.04, "geoms": ["l_foot"]},
    },
    "symmetric": True, "camera": {"distance": 2.6, "height": 0.7},
}  # fmt: skip


def foreign(
    folder: Path, *edits: tuple[str, str], files: dict[str, str] | None = None, **changes: object
) -> Robot:
    """The robot after edits (old, new) of its MJCF and changes of its YAML, with `files` beside."""
    body = BODY
    for old, new in edits:
        assert old in body, old
        body = body.replace(old, new)
    home = folder / "mine"
    home.mkdir(exist_ok=True)
    for name, text in ({"body.xml": body} | (files or {})).items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    (home / "robot.yaml").write_text(yaml.safe_dump(DATA | changes, sort_keys=False))
    robot = load_robot("mine", folder)
    assert isinstance(robot, Robot)
    return robot
