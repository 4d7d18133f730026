"""How long the commands take in a small finished study, beside `import torch` on the same machine.

    python bench/commands.py [--repeats 5] [--study FOLDER]

Makes the study in a temporary folder first, which takes some minutes, unless a folder of one is named.
The files are warm: each command runs once before it is timed. Writes results/commands.json.
"""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from common import ROOT, machine, show, write

from reelward.studies.settings import Value, applied
from reelward.studies.yaml_text import loaded

TINY: dict[str, Value] = {
    "propose.candidates": 2, "train.env_steps": 8192, "train.warm_env_steps": 8192,
    "train.num_envs": 32, "train.num_minibatches": 2, "train.update_epochs": 1,
    "rollout.episodes": 1, "rollout.seconds": 2.0, "film.seconds": 0.5,
}  # fmt: skip
TORCH = 'python -c "import torch"'
STAGES = sorted(p.stem for p in (ROOT / "stages").glob("[!_]*.py"))
COMMANDS = {
    "reelward --help": 1.0,
    "reelward new --help": 1.0,
    "reelward plan --help": 1.0,
    "reelward diff --help": 1.0,
    "reelward check --help": 1.0,
    "python -m flows.learn --help": 1.0,
    "python -m flows.grid --help": 1.0,
    "python -m stages --help": 1.0,
    **{f"python -m stages.{name} --help": 1.0 for name in STAGES},
    "reelward plan": 1.0,
    "reelward diff seed iter-00": 2.0,
    "dvc repro": 2.0,
    "python -m flows.learn --iterations 1": 5.0,
    "reelward fields --robot biped": None,
    "reelward check rewards/best.py --robot biped": None,
}
"""Each command and the seconds that it may take on an idle machine of two cores."""
PROPOSE = "the stage propose of the measured author"


@dataclass(frozen=True)
class Args:
    repeats: int = 5
    """Timed runs of each command."""
    study: Path | None = None
    """Folder of a finished study; it is not changed."""


@dataclass(frozen=True)
class Timing:
    command: str
    median_s: float
    least_s: float
    torch: float
    """The median as a multiple of that of `import torch`."""
    limit_s: float | None


def main(args: Args) -> None:
    before = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "study"
        if args.study is not None:
            shutil.copytree(args.study, folder, symlinks=True)
        else:
            make_study(folder)
        commands: dict[str, tuple[str, float | None]] = {
            command: (command, limit) for command, limit in COMMANDS.items()
        }
        commands[PROPOSE] = (propose(folder), 4.0)
        torch = seconds(TORCH, folder, args.repeats)
        timings = [timing(TORCH, torch, torch, None)]
        for name, (command, limit) in commands.items():
            timings.append(timing(name, seconds(command, folder, args.repeats), torch, limit))
    show("commands in a finished study of one iteration", [asdict(t) for t in timings])
    write("commands", {"machine": before, "repeats": args.repeats, "timings": timings})


def timing(command: str, runs: list[float], torch: list[float], limit: float | None) -> Timing:
    median = statistics.median(runs)
    return Timing(command, median, min(runs), median / statistics.median(torch), limit)


def seconds(command: str, folder: Path, repeats: int) -> list[float]:
    """Wall times of a command in `folder` (s), after one run that is not timed."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call(command, folder)
        times.append(time.perf_counter() - start)
    return times[1:]


def call(command: str, folder: Path) -> None:
    """Run a command with the study's own code. Raises CalledProcessError."""
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        shlex.split(command), cwd=folder, env=os.environ | {"PATH": here, "PYTHONPATH": str(folder)},
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def make_study(folder: Path) -> None:
    """A clone of this repository with a small study that has run."""
    call(f"git clone --quiet {shlex.quote(str(ROOT))} {shlex.quote(str(folder))}", ROOT)
    call("git switch --quiet --force-create main", folder)
    call("reelward new tiny", folder)
    params = folder / "params.yaml"
    params.write_text(applied(params.read_text(), TINY))
    call("python -m flows.learn --iterations 1", folder)


def propose(folder: Path) -> str:
    """The command of the stage propose, with its output elsewhere."""
    stages = loaded((folder / "dvc.lock").read_text())["stages"]
    command: str = stages["propose@iter-00"]["cmd"]
    return command.replace("data/iterations/iter-00/proposal.json", "scratch/proposal.json")


if __name__ == "__main__":
    main(tyro.cli(Args))
