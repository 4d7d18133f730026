"""The command `reelward`: help, and rewards by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, reelward, run

from reelward.language import compile_reward
from reelward.sim.robot import load_robot

ROBOTS = sorted(p.name for p in (ROOT / "robots").iterdir() if p.is_dir())
WITH_TRUNK = [r for r in ROBOTS if r != "cartpole"]
"""robots whose speed and posture the seed reward reads"""

LOADED = """
import sys
from reelward import cli
sys.argv = ["reelward", *sys.argv[1:]]
try:
    cli.main()
except SystemExit:
    pass
print(sorted({"torch", "dvc", "prefect", "mujoco", "cv2"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "words", [(), ("new",), ("open",), ("list",), ("plan",), ("diff",), ("check",)]
)
def test_help_loads_no_heavy_library(words: tuple[str, ...]) -> None:
    output = run(ROOT, sys.executable, "-c", LOADED, *words, "--help")
    assert "usage: reelward" in output and output.endswith("[]\n")


@pytest.mark.parametrize("robot", WITH_TRUNK)
def test_the_seed_reward_fits_every_robot_with_a_trunk(robot: str) -> None:
    source = (ROOT / "rewards/seed/selected.py").read_text()
    terms = compile_reward(source, load_robot(robot).fields).terms
    assert terms == ("alive", "speed", "upright")


@pytest.mark.parametrize("module", ["flows.learn", "stages.fetch"])
def test_ctrl_c_in_the_first_import_prints_no_traceback(tmp_path: Path, module: str) -> None:
    stub = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "multiprocessing.py").write_text(stub)
    done = subprocess.run(
        (sys.executable, "-m", module), capture_output=True, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGINT and done.stderr == ""


def test_check_lists_the_terms(house: Path) -> None:
    output = reelward(house, "check", "rewards/seed/selected.py", "--robot", "biped", "--json")
    assert [t["name"] for t in json.loads(output)["terms"]] == ["alive", "speed", "upright"]


def test_check_refuses_a_reward_and_says_where(house: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def reward(s):\n    return {'a': s.root_pso[:, 0]}\n")
    output = reelward(house, "check", str(bad), "--robot", "biped", code=1)
    assert f"{bad}:2:" in output and "root_pos" in output


def test_fields_are_those_of_the_robot(house: Path) -> None:
    fields = json.loads(reelward(house, "fields", "--robot", "biped", "--json"))
    knees = next(f for f in fields if f["name"] == "joint_pos")
    assert "right_knee" in knees["names"] and knees["unit"] == "rad"
