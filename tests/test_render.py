"""Pictures of robots that reelward did not make: whole, visible, whatever their size and names."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from foreign_robot import foreign

from reelward.film import States, pictures
from reelward.measures.base import Episodes
from reelward.motion.cycle import Pick
from reelward.motion.sheet import GROUND, SIZE, sheet
from reelward.render import Extent, Renderer
from reelward.rollout import _size, _tiles
from reelward.sim.mjcf import Robot
from reelward.sim.robot import load_mjcf

RED = 'rgba="1 0 0 1"'


def bar(folder: Path, length: float, camera: float, geom: str = RED) -> Robot:
    """A bar that is this long (m) lies on the ground, its root at one end; its MJCF has a camera and
    a mocap body with our names."""
    link = f'type="capsule" fromto="0 0 0 {length / 2} 0 0" size="{length / 60}" {geom}'
    body = f"""
    <mujoco>
      <worldbody>
        <camera name="side"/><body name="reelward side 0" mocap="true" pos="0 99 0"/>
        <geom name="floor" type="plane" size="5 5 1"/>
        <body name="tail" pos="0 0 {length / 20}">
          <freejoint/><geom {link}/>
          <body name="head" pos="{length / 2} 0 0"><joint name="neck" axis="0 0 1"/><geom {link}/></body>
        </body>
      </worldbody>
      <actuator><motor joint="neck" ctrlrange="-1 1"/></actuator>
    </mujoco>"""
    return foreign(
        folder, files={"bar.xml": body}, model="bar.xml", root="tail", joints={"neck": "neck"},
        bodies={"head": "head"}, keypoints={"end": ["head", length / 2, 0, 0]}, feet={},
        symmetric=False, camera={"distance": camera, "height": length / 20},
    )  # fmt: skip


def red(picture: np.ndarray) -> np.ndarray:
    """Where the picture is red, bool `[H, W]`."""
    r, g, b = np.moveaxis(picture.astype(int), 2, 0)
    return (r > 60) & (r > 2 * g) & (r > 2 * b)


@pytest.mark.parametrize(
    "length, camera", [(3.0, 2.0), (0.05, 0.04), (60.0, 40.0)], ids=["snake", "bug", "whale"]
)
def test_a_film_shows_a_body_of_any_size_whole(tmp_path, length, camera):
    robot = bar(tmp_path, length, camera)
    qpos = np.tile(robot.mj_model.qpos0, (3, 1))
    qpos[1, -1], qpos[2, 3:7] = (
        2.0,
        (0, 0, 0, 1),
    )  # bent; turned round, so that it points to the left
    shapes = [red(p) for p in pictures(robot, States(qpos, 0.02), [0, 1, 2], (120, 90))]
    for shape in shapes:
        assert shape.any() and not shape[:, [0, -1]].any() and not shape[[0, -1]].any()
    columns = np.flatnonzero(shapes[0].any(0))
    assert columns[-1] - columns[0] > 40  # from the root in the middle nearly to the border
    assert abs(np.flatnonzero(shapes[2].any(0))[-1] - columns[0]) <= 4


@pytest.mark.parametrize(
    "lights",
    ["", '<light pos="0 0 4"/>', '<light pos="0 0 2" diffuse="0.1 0.1 0.1"/>',
     '<light pos="0 0 4"/><light pos="1 0 4"/><light pos="2 0 4"/>',
     '<light type="directional" active="false"/>'],
    ids=["none", "a lamp", "a dim lamp", "three lamps", "a sun that is off"],
)  # fmt: skip
def test_a_robot_is_in_the_light_wherever_it_walks(tmp_path, lights):
    robot = foreign(tmp_path, ('<light pos="0 0 4"/>', lights))
    camera = Renderer(robot, 64, 48)
    qpos = robot.posture
    for x in (0.0, 25.0):
        qpos[0] = x
        floor = camera.frame(qpos)[40:].astype(float)
        assert 180 < floor.mean() < 250


@pytest.mark.parametrize(
    "geom",
    [f'{RED} group="3"', f'{RED} group="5"', 'rgba="1 0 0 0"'],
    ids=["group 3", "group 5", "transparent"],
)
def test_a_body_of_which_nothing_would_be_seen_is_drawn(tmp_path, geom):
    robot = bar(tmp_path, 1.0, 2.0, geom)
    (hidden,) = pictures(robot, States(robot.mj_model.qpos0[None], 0.02), [0], (64, 48))
    empty = robot.mj_model.qpos0[None].copy()
    empty[0, 2] = -9.0  # far below the floor
    camera = Renderer(robot, 64, 48)
    changed = (hidden.astype(int) - camera.frame(empty[0])) ** 2
    assert (changed.sum(2) > 300).sum() > 15


def test_what_only_collides_stays_hidden_behind_what_is_seen(tmp_path):
    shell = '<geom type="sphere" size="0.9" group="3" rgba="0 0 1 1"/>'
    robot = foreign(tmp_path, ('<body name="r_leg"', shell + '<body name="r_leg"'))
    picture = Renderer(robot, 64, 48).frame(robot.mj_model.qpos0).astype(int)
    assert not (picture[..., 2] > picture[..., 0] + 60).any()


def test_defaults_of_the_mjcf_do_not_move_the_camera(tmp_path):
    plain = Renderer(foreign(tmp_path), 48, 36)
    default = '<default><camera mode="trackcom" fovy="9" pos="1 2 3"/></default><worldbody>'
    odd = Renderer(foreign(tmp_path, ("<worldbody>", default)), 48, 36)
    qpos = plain.robot.mj_model.qpos0
    assert np.array_equal(odd.frame(qpos), plain.frame(qpos))


def test_the_demos_robot_is_drawn_from_where_its_yaml_says():
    robot = load_mjcf("biped")
    camera = Renderer(robot, 64, 48)
    camera.fit(camera.extent(robot.mj_model.qpos0[None]))
    assert camera.distance == 2.6


@pytest.mark.parametrize("name", ["half_cheetah", "ant", "humanoid"])
def test_a_tile_of_the_sheet_shows_a_wide_robot_whole(name):
    robot = load_mjcf(name)
    qpos = np.tile(robot.mj_model.qpos0, (2, 1))
    qpos[1, 0] += 5.0
    points = np.zeros((2, 1, len(robot.keypoints), 3), np.float32)
    points[:, 0, :, 0] = qpos[:, :1]
    points[:, 0, 0, 2] = 0.5
    track = Episodes(qpos[:, None], points, np.array([2]), {}, 0.05).tracks(robot)[0]
    camera = Renderer(robot, 160, 160)
    picks = [Pick(i, 0.0, None) for i in range(2)]
    tiles = _tiles(camera, qpos, track, picks)
    extent = camera.extent(qpos)
    for i, tile in enumerate(tiles):
        assert tile.place is not None
        scale = 0.72 * SIZE / tile.place.height  # pixels of the tile for one of the picture
        metre = camera.pixels_per_metre * scale
        middle = extent.root[i, 0] + (tile.place.centre - 80) / camera.pixels_per_metre
        assert (extent.high[i, 0] - middle) * metre < SIZE / 2
        assert (middle - extent.low[i, 0]) * metre < SIZE / 2
        assert extent.high[i, 2] * metre < GROUND * SIZE - 22  # below the tile's number
    assert sheet(tiles).shape == (SIZE, 2 * SIZE, 3)


def test_a_body_that_fits_keeps_its_hips_in_the_middle():
    camera = Renderer(load_mjcf("biped"), 64, 64)
    low, high = np.array([[-0.3, -0.1, 0.0]]), np.array([[0.4, 0.1, 1.5]])
    middle, height = _size(camera, Extent(low, high, np.zeros((1, 3))), np.array([0.1]), 1.6)
    assert middle.tolist() == [0.1] and height == 1.6
    high[0, 0] = 4.0
    middle, height = _size(camera, Extent(low, high, np.zeros((1, 3))), np.array([0.1]), 1.6)
    # By hand: 2.15 m beside the middle fill 0.48 of a tile, of which a body is 0.72; the nearest part
    # is 0.1 m closer than the root's 2.6 m.
    assert middle.tolist() == pytest.approx([1.85])
    assert height == pytest.approx(0.72 * 2.15 / 0.48 * 2.6 / 2.5)


@pytest.mark.parametrize("choice", ["osmesa", "nonsense"])
def test_a_renderer_that_the_environment_names_is_not_taken(choice):
    code = (
        "from reelward.sim.robot import load_mjcf; from reelward.render import Renderer;"
        "r = load_mjcf('hopper'); print(Renderer(r, 8, 8).frame(r.mj_model.qpos0).shape)"
    )
    env = os.environ | {"MUJOCO_GL": choice, "PYOPENGL_PLATFORM": choice}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "(8, 8, 3)\n", done.stderr
