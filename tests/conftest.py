"""A copy of the repository in a git repository of its own, and a tiny study that really ran in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import film_server
import psutil
import pytest
import toy_stage
from filelock import FileLock

from reelward.studies.settings import Value, applied

ROOT = Path(__file__).parents[1]

DEADLINE = 180.0
"""s to wait for what takes a second or two on an idle machine"""

TINY: dict[str, Value] = {
    "propose.candidates": 2, "train.env_steps": 8192, "train.warm_env_steps": 8192,
    "train.num_envs": 32, "train.hidden": 16, "train.num_minibatches": 2, "train.update_epochs": 1,
    "rollout.episodes": 1, "rollout.seconds": 5.5, "film.seconds": 0.5,
}  # fmt: skip
"""what makes a whole pipeline small"""


FIRST = ("test_flow", "test_gpu", "test_serve")
"""files to begin with: the first makes the tiny study, on which others would wait"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: FIRST.index(stem) if (stem := item.path.stem) in FIRST else len(FIRST)
    )


def settle(folder: Path, values: dict[str, Value]) -> None:
    """Set values in params.yaml by their places."""
    path = folder / "params.yaml"
    path.write_text(applied(path.read_text(), values))


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.com"}
    who |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.com"}
    return {**os.environ, "PATH": path, **who, **more}


def run(folder: Path, *args: str, code: int = 0, **more: str) -> str:
    """The output of a command in `folder`; it must end with `code`."""
    process = subprocess.run(
        args, cwd=folder, env=environment(**more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.returncode == code, process.stdout
    return process.stdout


def reelward(folder: Path, *args: str, code: int = 0, **more: str) -> str:
    return run(folder, sys.executable, "-m", "reelward.cli", *args, code=code, **more)


def dvc(folder: Path, *args: str, code: int = 0) -> str:
    return run(folder, sys.executable, "-m", "dvc", *args, code=code)


def ran(output: str) -> list[str]:
    """The stages that a repro ran, in order."""
    return re.findall(r"Running stage '([^']+)'", output)


def until(condition: Callable[[], object], poll: float = 0.05) -> bool:
    """Wait for a condition. False where it is not met within DEADLINE."""
    deadline = time.monotonic() + DEADLINE
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(poll)
    return bool(met)


def running(process: psutil.Process) -> bool:
    """Whether a process still runs. One that has ended may stay a zombie: a container's first process
    need not wait for it."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def all_end(processes: Iterable[psutil.Process]) -> bool:
    """Whether all processes end within DEADLINE."""
    return until(lambda: not any(map(running, processes)))


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, symlinks=True))


@pytest.fixture(autouse=True)
def pipes() -> Iterator[None]:
    """A command ends in silence when its reader does; a process of pytest must not."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as one commit on a branch `main`, without results. Do not write into it."""
    folder = tmp_path_factory.mktemp("house") / "house"
    folder.mkdir()
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "git", "config", "gc.auto", "0")  # git must not work on in the background
    run(folder, "git", "config", "maintenance.auto", "false")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "The house")
    return folder


class Finished(NamedTuple):
    """A tiny study of one iteration, made by the flow."""

    archive: Path
    """the folder as a tar, from which each test takes a copy"""
    output: str
    """of the flow"""

    def unpack(self, target: Path) -> Path:
        with tarfile.open(self.archive) as archive:
            archive.extraction_filter = getattr(tarfile, "tar_filter", None)  # of Python 3.11.4
            archive.extractall(target)
        return target


@pytest.fixture(scope="session")
def finished(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny study, made once for all processes of pytest."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    archive, output = base / "study.tar", base / "study.txt"
    with FileLock(base / "study.lock"):
        if not archive.exists():
            folder = copy(house, tmp_path_factory.mktemp("study") / "study")
            reelward(folder, "new", "tiny")
            settle(folder, TINY)
            text = run(folder, sys.executable, "-m", "flows.learn", "--iterations", "1")
            output.write_text(text)
            with tarfile.open(archive.with_suffix(".new"), "w") as new:
                new.add(folder, ".")
            archive.with_suffix(".new").rename(archive)
    return Finished(archive, output.read_text())


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small film, the one that `server` answers with."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    path.write_bytes(film_server.film())
    return path


@pytest.fixture(scope="session")
def server(clip: Path) -> Iterator[str]:
    """The address of a server of films, good and bad ones."""
    with film_server.serving(clip.read_bytes()) as url:
        yield url


@pytest.fixture
def mine(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the tiny study to do anything to."""
    return finished.unpack(tmp_path / "mine")


@pytest.fixture
def desk(house: Path, tmp_path: Path) -> Path:
    """A copy of the house to do anything to; nothing has run in it."""
    return copy(house, tmp_path / "desk")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the toy stage in it."""
    shutil.copy(toy_stage.__file__, tmp_path / "toy.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{tmp_path}")
    for name in ("DVC_STAGE", "REELWARD_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path
