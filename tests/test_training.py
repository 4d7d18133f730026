"""Around the algorithm: checkpoints, kills at any moment, worker processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import astuple, replace
from functools import partial
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from trainings import ARGS, REWARD, candidate, job, results, trained

from reelward.runtime import files
from reelward.runtime.checkpoints import Checkpoints
from reelward.runtime.errors import TrainingError
from reelward.runtime.workers import spread
from reelward.training import PRELOAD, Seeds
from stages import train


def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole")
    monkeypatch.setenv("REELWARD_CHECKPOINT_S", "0")
    stopped = tmp_path / "stopped"
    stopped.mkdir()

    def stop(steps: int) -> None:
        if steps >= 3 * 256:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.learn_alone(ARGS, job(stopped), stop)
    seen = []
    train.learn_alone(ARGS, job(stopped), seen.append)
    assert seen[:2] == [2 * 256, 3 * 256]  # it continued and did not begin again
    assert whole == results(stopped)


def test_progress_counts_what_was_trained_before(tmp_path):
    first, again = [], []
    train.learn_alone(ARGS, job(tmp_path), first.append)
    train.learn_alone(ARGS, job(tmp_path), again.append)
    assert again == [first[-1]]


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path)
    for number in (1, 2, 3):
        checkpoints.save(number, {"number": number})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "3"]
    state = tmp_path / "3/state.pt"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1  # a single bit, which torch.load does not notice
    state.write_bytes(data)
    loaded: list[object] = []
    assert checkpoints.restore(dict, loaded.append) and loaded == [{"number": 2}]
    output = capsys.readouterr().err
    assert "checkpoint" in output and "3 is damaged; the one before it is used" in output


def test_a_checkpoint_of_another_program_starts_the_training_anew(tmp_path, capsys):
    whole = trained(tmp_path / "whole")
    folder = tmp_path / "other"
    checkpoints = Checkpoints(folder / "checkpoints/c0")
    state = files.load_tensors(tmp_path / "whole/checkpoints/c0/2048/state.pt")
    checkpoints.save(1, {"policy": state["policy"] | {"weights": {}}})
    checkpoints.save(2, state | {"episodes": {"discounted": torch.zeros(3)}})
    for odd in ("1\N{SUPERSCRIPT TWO}", "2x"):
        (checkpoints.folder / odd).mkdir()
    (checkpoints.folder / "7").touch()
    assert trained(folder) == whole
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].endswith("the one before it is used")
    assert lines[1].endswith("1 is not of this training (FileError); the training starts anew")


def test_no_two_trainings_share_a_random_stream():
    """Studies, iterations and candidates 0 to 20: 3 seeds each, all different."""
    triples = product(range(21), repeat=3)
    seeds = [seed for triple in triples for seed in astuple(Seeds.of(*triple))]
    assert len(set(seeds)) == len(seeds) == 3 * 21**3
    assert Seeds.of(1, 2, 3) == Seeds.of(1, 2, 3)


def slow_to_die(job, report):
    threading.Thread(target=time.sleep, args=(1.0,)).start()
    raise ValueError("why it failed")


def test_the_error_of_a_job_survives_its_process():
    errors = spread(slow_to_die, {"a": 0}, 1, lambda name, done: None)
    assert list(errors) == ["a"] and "ValueError: why it failed" in str(errors["a"])


def touch_or_die(folder: Path, report):
    if not folder.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "done").touch()


def test_a_killed_job_is_an_error_and_the_others_continue(tmp_path):
    (tmp_path / "out").mkdir()
    jobs = {"killed": tmp_path / "no", "whole": tmp_path / "out"}
    errors = spread(touch_or_die, jobs, 1, lambda name, done: None)
    assert list(errors) == ["killed"] and "exit code -9" in str(errors["killed"])
    assert (tmp_path / "out/done").exists()


JOBS = """
import sys
from reelward.runtime.workers import spread

def work(job, report):
    assert "reelward.sim.cpu" in sys.modules  # only the fork server can have loaded it

if __name__ == "__main__":
    jobs = {"a": 0, "b": 1}
    print(spread(work, jobs, 2, lambda name, done: None, preload=["reelward.sim.cpu"]))
"""


def test_workers_start_with_the_preloaded_modules(tmp_path):
    (tmp_path / "jobs.py").write_text(JOBS)
    done = subprocess.run(
        [sys.executable, "-m", "jobs"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("{}\n", "")


def test_candidates_in_processes_do_not_disturb_each_other(tmp_path):
    """Two at once give the bytes of one alone, and one that fails does not stop the other."""
    alone = trained(tmp_path / "alone")
    together = tmp_path / "together"
    together.mkdir()
    bad = "def reward(s):\n    return {'x': torch.log(s.root_vel[:, 0] - 100)}\n"
    jobs = {"c0": job(together), "c1": job(together, name="c1", reward=bad)}
    work = partial(train.learn_alone, ARGS)
    errors = spread(work, jobs, 2, lambda name, steps: None, preload=PRELOAD)
    assert list(errors) == ["c1"] and isinstance(errors["c1"], TrainingError)
    assert "line 2, col 0: term 'x' is not finite" in str(errors["c1"])
    assert alone == results(together)


def train_with_checkpoints(folder: Path, steps: Connection) -> None:
    """A training that saves a checkpoint after each update."""
    os.environ["REELWARD_CHECKPOINT_S"] = "0"
    train.learn_alone(ARGS, job(folder), steps.send)


def test_a_training_killed_again_and_again_gives_the_same_bytes(tmp_path):
    """kill -9 at random moments; what comes out is what an undisturbed training gives. REELWARD_KILLS
    sets how often (3 if it is not set); a training that ended in spite of the kills is compared, and
    the next one begins."""
    whole = trained(tmp_path / "whole")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    rng = torch.Generator().manual_seed(0)
    kills, ends, left = 0, 0, int(os.environ.get("REELWARD_KILLS", "3"))
    complete = False
    while left or not complete:
        folder = tmp_path / f"killed-{ends}"
        folder.mkdir(exist_ok=True)
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=train_with_checkpoints, args=(folder, send))
        process.start()
        send.close()
        if left:
            receive.recv()
            time.sleep(float(torch.rand(1, generator=rng)) * 0.1)
            process.kill()
        process.join()
        complete = process.exitcode == 0
        if complete:
            assert whole == results(folder)
            ends += 1
        else:
            assert process.exitcode == -signal.SIGKILL
            kills, left = kills + 1, left - 1
    print(f"{kills} kills in {ends} trainings")


def test_checkpoints_are_named_by_what_defines_the_training(tmp_path):
    """Another seed, reward, start or option is another training; another name or folder is not."""
    for name in ("c0", "c1"):
        (tmp_path / f"{name}.py").write_text(REWARD if name == "c0" else REWARD + "# other\n")
    (tmp_path / "policy.pt").write_bytes(b"weights")
    args = replace(ARGS, rewards=tmp_path, parent=tmp_path / "policy.pt")

    def folder(args=args, **changes) -> str:
        return train.plan(args, [candidate(**changes)], tmp_path)[0].checkpoints.name

    assert {folder(note="other"), folder(replace(args, out=Path("elsewhere")))} == {folder()}
    others = [
        folder(number=2), folder(file="c1.py"), folder(start="warm"), folder(replace(args, seed=9)),
        folder(replace(args, iteration="iter-01")),
        folder(replace(args, gamma=0.9)), folder(replace(args, robot="walker2d")),
    ]  # fmt: skip
    assert len({folder(), *others}) == 8
