"""A copy of the house in a repository of its own, and a tiny study that was really run in it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

DEADLINE = 120.0
"""s to wait for what comes in a second on an idle machine"""

TINY = {
    "candidates": 2, "env_steps": 8192, "warm_env_steps": 8192, "num_envs": 32, "hidden": 16,
    "num_minibatches": 2, "update_epochs": 1, "episodes": 1, "seconds": 2.0, "video_seconds": 0.5,
}  # fmt: skip
"""What makes a whole pipeline small; everything else stays as it is."""


def settle(folder: Path, **values: object) -> None:
    """Set values in params.yaml, by key."""
    path = folder / "params.yaml"
    text = path.read_text()
    for key, value in values.items():
        text, found = re.subn(rf"^(\s+{key}:) [^\s#]+", rf"\1 {value}", text, flags=re.M)
        assert found == 1, key
    path.write_text(text)


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.com"}
    who |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.com"}
    return {**os.environ, "PATH": path, **who, **more}


def run(folder: Path, *args: str, code: int = 0, **more: str) -> str:
    """What a command says in `folder`; it must end with `code`."""
    done = subprocess.run(
        args, cwd=folder, env=environment(**more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def reelward(folder: Path, *args: str, code: int = 0, **more: str) -> str:
    return run(folder, sys.executable, "-m", "reelward.cli", *args, code=code, **more)


def dvc(folder: Path, *args: str, code: int = 0) -> str:
    return run(folder, sys.executable, "-m", "dvc", *args, code=code)


def ran(said: str) -> list[str]:
    """The stages that a repro ran, in order."""
    return re.findall(r"Running stage '([^']+)'", said)


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, symlinks=True))


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as one commit on a branch `main`, without results."""
    folder = tmp_path_factory.mktemp("house") / "house"
    folder.mkdir()
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "The house")
    return folder


@pytest.fixture(scope="session")
def study(house: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A tiny study of one iteration, made by the flow once for all processes of pytest -> its
    folder and what the flow said. Do not write into it: take a copy."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, said = base / "study", base / "study.txt"
    with open(base / "study.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not said.exists():
            shutil.rmtree(folder, ignore_errors=True)
            copy(house, folder)
            reelward(folder, "new", "tiny")
            settle(folder, **TINY)
            text = run(folder, sys.executable, "-m", "flows.learn", "--iterations", "1")
            said.write_text(text)
    return folder, said.read_text()


@pytest.fixture
def mine(study: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the tiny study to do anything to."""
    return copy(study[0], tmp_path / "mine")


@pytest.fixture
def desk(house: Path, tmp_path: Path) -> Path:
    """A copy of the house to do anything to; nothing has run in it."""
    return copy(house, tmp_path / "desk")
