"""Studies on several machines: clones with caches of their own, a bare git repository, a remote.

A machine is a clone here, and a training writes its name into a book; everything between is real:
git, DVC, Prefect, the flows.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from conftest import DEADLINE, all_end, copy, dvc, environment, ran, run, until

from flows.grid import members
from reelward.studies.git import StudyError

PASSWORD = "ann:secret"
PIPELINE = """\
vars: [loop.yaml]
stages:
  keyframes:
    cmd: python -m stages.toy keyframes data/expert
    deps: [stages/toy.py]
    outs: [data/expert]
  train:
    foreach: ${iterations}
    do:
      cmd: python -m stages.toy train data/iterations/${key}/policies ${seed} ${key}
      deps: [stages/toy.py, data/expert, "rewards/${item.parent}/selected.py"]
      outs: ["data/iterations/${key}/policies"]
  select:
    foreach: ${iterations}
    do:
      cmd: python -m stages.toy select ${key} ${item.parent}
      deps: [stages/toy.py, "data/iterations/${key}/policies", "rewards/${item.parent}/history.csv"]
      outs:
        - "rewards/${key}/selected.py": {cache: false}
        - "rewards/${key}/feedback.json": {cache: false}
        - "rewards/${key}/history.csv": {cache: false}
  publish:
    cmd: python -m stages.toy publish ${last}
    deps: [stages/toy.py, "rewards/${last}/history.csv"]
    metrics: [metrics.json: {cache: false}]
  report:
    cmd: python -m stages.toy report report
    deps: [stages/toy.py, data/iterations, metrics.json]
    outs: [report]
"""
TOY = """\
import json, os, sys, time
from pathlib import Path

what, *args = sys.argv[1:]
if what in ("keyframes", "train", "report"):
    with open(os.environ["BOOK"], "a") as book:
        book.write(" ".join((os.environ["MACHINE"], what, *args[1:])) + "\\n")
    if args[-1] == os.environ.get("HANGS"):
        time.sleep(3600)
    out = Path(args[0])
    out.mkdir(parents=True)
    (out / "x").write_text(" ".join(args))
    if what == "report":
        names = sorted(p.name for p in Path("data/iterations").iterdir())
        (out / "x").write_text(" ".join(names))
elif what == "select":
    key, parent = args
    here, before = Path("rewards", key), Path("rewards", parent)
    here.mkdir(exist_ok=True)
    trained = Path("data/iterations", key, "policies/x").read_text()
    (here / "selected.py").write_text((before / "selected.py").read_text() + f"# {trained}\\n")
    (here / "feedback.json").write_text("{}")
    history = (before / "history.csv").read_text()
    history = "iteration,candidate,closeness\\n" if history == "iteration\\n" else history
    closeness = 0.1 * history.count("\\n")
    (here / "history.csv").write_text(f"{history}{key},c0,{closeness}\\n")
else:
    line = Path("rewards", args[0], "history.csv").read_text().splitlines()[-1].split(",")
    Path("metrics.json").write_text(json.dumps({"iteration": line[0], "closeness": float(line[2])}))
"""


@pytest.fixture(scope="module")
def origin(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository of the house with a quick pipeline, beside a DVC remote named in it."""
    place = tmp_path_factory.mktemp("origin")
    folder = copy(house, place / "desk")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "stages/toy.py").write_text(TOY)
    dvc(folder, "remote", "add", "--quiet", "--default", "share", str(place / "remote"))
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "A quick pipeline and a remote")
    run(place, "git", "clone", "--quiet", "--bare", "desk", "origin.git")
    return place / "origin.git"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """Prefect's server for all of them, which asks for a password: its address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    process = subprocess.Popen(
        (sys.executable, "-m", "prefect", "server", "start", "--port", str(port)),
        env=environment(PREFECT_HOME=str(tmp_path_factory.mktemp("prefect")), PREFECT_API_URL=url,
                        PREFECT_SERVER_API_AUTH_STRING=PASSWORD),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip

    def answers() -> bool:
        assert process.poll() is None
        with suppress(OSError):
            urlopen(f"{url}/health", timeout=10).close()
            return True
        return False

    assert until(answers)
    yield url
    below = psutil.Process(process.pid).children(recursive=True)
    for p in (*below, process):
        p.kill()


def machine(origin: Path, folder: Path, *how: str) -> Path:
    run(folder.parent, "git", "clone", "--quiet", *how, f"file://{origin}", folder.name)
    return folder


def told(folder: Path, book: Path, *more: str) -> dict[str, str]:
    return environment(
        BOOK=str(book), MACHINE=folder.name, PREFECT_API_AUTH_STRING=PASSWORD,
        **dict(zip(more[::2], more[1::2], strict=True)),
    )  # fmt: skip


def grid(folder: Path, env: dict[str, str], *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-m", "flows.grid", *args), cwd=folder, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=3 * DEADLINE)
    assert process.returncode == 0, text
    return text


def trainings(book: Path) -> list[str]:
    return [line for line in book.read_text().splitlines() if " train " in line]


async def scheduled(url: str) -> dict[str, dict]:
    """What waits on the work pool of `study/study`: parameters by name."""
    from prefect.client.orchestration import PrefectClient

    async with PrefectClient(url, auth_string=PASSWORD) as client:
        runs = await client.read_flow_runs()
        return {r.name: r.parameters for r in runs if r.state_name == "Scheduled"}


async def deploy(url: str) -> None:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.actions import WorkPoolCreate

    from flows.deployed import study

    async with PrefectClient(url, auth_string=PASSWORD) as client:
        await client.create_work_pool(WorkPoolCreate(name="here", type="process"))
        flow = await client.create_flow(study)
        await client.create_deployment(flow, "study", work_pool_name="here")


def test_a_grid_on_two_machines_one_of_which_dies(
    origin: Path, server: str, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    home = machine(origin, tmp_path / "home")
    one, two = (machine(origin, tmp_path / n, "--depth", "1") for n in ("one", "two"))  # as Prefect
    envs = {m.name: told(m, book, "PREFECT_API_URL", server) for m in (home, one, two)}

    command = (sys.executable, "-m", "flows.grid", "--seeds", "1", "2", "--iterations", "1")
    assert "has no deployment study/study; run make serve" in run(
        home, *command, code=2, **envs["home"]
    )
    asyncio.run(deploy(server))
    finished(grid(home, envs["home"], "--seeds", "1", "2", "--iterations", "1"))
    waiting = asyncio.run(scheduled(server))
    assert set(waiting) == {"grid-seed1", "grid-seed2"}
    assert waiting["grid-seed2"]["seeds"] == [2] and waiting["grid-seed2"]["iterations"] == 1
    assert not book.exists()  # nothing ran at home
    began = run(origin, "git", "for-each-ref", "--format=%(refname:short)", "refs/heads/study")
    assert began.split() == ["study/grid-seed1", "study/grid-seed2"]

    dies = grid(one, envs["one"] | {"HANGS": "iter-01"}, "--seeds", "1", "--iterations", "2")
    lives = grid(two, envs["two"], "--seeds", "2", "--iterations", "1")
    finished(lives)
    assert until(lambda: dies.poll() is not None or "one train 1 iter-01" in book.read_text())
    below = psutil.Process(dies.pid).children(recursive=True)
    assert any("stages.toy" in " ".join(p.cmdline()) for p in below)
    dies.kill()
    dies.wait()
    assert all_end(below)
    dies.communicate()

    finished(grid(two, envs["two"], "--seeds", "1", "--iterations", "2"))
    assert sorted(trainings(book)) == [
        "one train 1 iter-00", "one train 1 iter-01", "two train 1 iter-01", "two train 2 iter-00",
    ]  # fmt: skip
    assert book.read_text().count("keyframes") <= 2  # at once on both, else once for all

    # At home git and dvc alone bring it together.
    run(home, "git", "fetch", "--quiet")
    compared = json.loads(
        dvc(home, "metrics", "diff", "origin/study/grid-seed2", "origin/study/grid-seed1", "--json")
    )
    closeness = compared["metrics.json"]["closeness"]
    assert (closeness["old"], closeness["new"]) == (0.1, pytest.approx(0.2))
    before = book.read_text()
    for seed, iterations in ((1, 2), (2, 1)):
        folder = home / f"scratch/studies/grid-seed{seed}"
        run(folder, "git", "merge", "--quiet", "--ff-only", f"origin/study/grid-seed{seed}")
        assert ran(run(folder, sys.executable, "-m", "dvc", "repro", "--pull", "--allow-missing",
                       **told(home, book))) == []  # fmt: skip
        dvc(folder, "pull", "--quiet")
        names = [f"iter-0{i}" for i in range(iterations)]
        assert (folder / "report/x").read_text() == " ".join(names)
        assert json.loads(dvc(folder, "status", "--json")) == {}
    assert book.read_text() == before
    # Both folders are worktrees of one clone: what one trained, the other finds in the cache.
    cache = {dvc(p, "cache", "dir") for p in (home, home / "scratch/studies/grid-seed1")}
    assert len(cache) == 1


def test_names_of_a_grid(tmp_path: Path) -> None:
    film = tmp_path / "My Run.mp4"
    film.touch()
    studies = members("g", [str(film), "https://v.example/watch?v=aB_1"], ["ant", "biped"], [1, 2])
    assert len(studies) == 8
    assert [m.name for m in studies][:2] == ["g-my-run-ant-seed1", "g-my-run-ant-seed2"]
    assert studies[-1].name == "g-watch-v-ab-1-biped-seed2"
    assert [m.name for m in members("grid", [], [], [])] == ["grid"]
    with pytest.raises(StudyError, match="name: expected up to 60 of a-z"):
        members("g" * 61, [], [], [])
    with pytest.raises(StudyError, match="two studies would be called g-a; rename a video"):
        members("g", ["https://x.example/a.mp4", "https://y.example/a.mp4"], [], [])


def prepared(origin: Path, folder: Path, url: str, **more: str) -> Path:
    """A machine whose default remote is another, told to no one else."""
    machine(origin, folder)
    dvc(folder, "remote", "add", "--quiet", "--local", "--default", "other", url)
    for key, value in more.items():
        dvc(folder, "remote", "modify", "--quiet", "--local", "other", key, value)
    return folder


def through(origin: Path, tmp_path: Path, url: str, **more: str) -> None:
    """What one machine computed, another gets without running it, from its lock or from the run-cache."""
    book = tmp_path / "book"
    first = prepared(origin, tmp_path / "first", url, **more)
    run(first, sys.executable, "-m", "dvc", "repro", **told(first, book))
    dvc(first, "push", "--quiet", "--run-cache")
    run(first, "git", "add", "--all")
    run(first, "git", "commit", "--quiet", "--message", "Results")
    second = prepared(first, tmp_path / "second", url, **more)
    before = book.read_text()
    repro = (sys.executable, "-m", "dvc", "repro", "--pull", "--allow-missing")
    assert ran(run(second, *repro, **told(second, book))) == []
    assert not (second / "data").exists()  # nor was anything fetched

    (second / "dvc.lock").unlink()  # and where no commit says what was made
    again = run(second, *repro, **told(second, book))
    assert set(ran(again)) == {"select@iter-00", "publish"}, again
    assert "Stage 'train@iter-00' is cached - skipping run" in again
    assert book.read_text() == before
    assert (second / "report/x").read_bytes() == (first / "report/x").read_bytes()


def test_results_travel_through_a_directory(origin: Path, tmp_path: Path) -> None:
    through(origin, tmp_path, str(tmp_path / "share"))


def test_results_travel_through_s3(origin: Path, tmp_path: Path) -> None:
    why = "needs a server of the S3 protocol: pip install -e .[test-s3]"
    pytest.importorskip("dvc_s3", reason=why)
    pytest.importorskip("moto.server", reason=why)
    code = (
        "import time, boto3; from moto.server import ThreadedMotoServer as S;"
        "s = S('127.0.0.1', 0, verbose=False); s.start(); url = 'http://%s:%d' % s.get_host_and_port();"
        "boto3.client('s3', endpoint_url=url, region_name='us-east-1', aws_access_key_id='a',"
        " aws_secret_access_key='b').create_bucket(Bucket='studies');"
        "print(url, flush=True); time.sleep(3600)"
    )
    server = subprocess.Popen((sys.executable, "-c", code), text=True, stdout=subprocess.PIPE)
    try:
        assert server.stdout
        url = server.stdout.readline().strip()
        keys = {"access_key_id": "a", "secret_access_key": "b", "region": "us-east-1"}
        through(origin, tmp_path, "s3://studies/reelward", endpointurl=url, **keys)
    finally:
        server.kill()
        server.wait()
