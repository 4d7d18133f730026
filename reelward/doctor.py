"""`reelward doctor`: check this machine, and name the command that helps where something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

FREE_GB = 3.0
"""of a study like the demo, with DVC's cache"""
DAYS_OLD = 90
"""age at which yt-dlp no longer knows the sites it reads"""


@dataclass(frozen=True)
class Check:
    """One row of the table."""

    what: str
    ok: bool
    state: str
    """what is there, or what is wrong"""
    remedy: str = ""
    """the command that helps"""
    needed: bool = True
    """False: the demo runs without it"""


def system() -> Check:
    return Check("system", sys.platform == "linux", sys.platform, "use Linux, or WSL on Windows")


def python() -> Check:
    state = ".".join(map(str, sys.version_info[:3]))
    remedy = "make demo PYTHON=python3.11  (apt install python3.11-venv)"
    return Check("python", sys.version_info >= (3, 11), state, remedy)


def cores() -> Check:
    count = len(os.sched_getaffinity(0))
    remedy = "give it more: each core trains one candidate"
    return Check("cores", count > 1, str(count), remedy, needed=False)


def disk() -> Check:
    free = shutil.disk_usage(".").free / 1e9
    return Check(
        "disk", free > FREE_GB, f"{free:.0f} GB free", "dvc gc --all-branches  (or free some space)"
    )


def renderer() -> Check:
    from reelward import render

    remedy = "apt install libegl1 libgl1-mesa-dri  (without it, a slower ray tracer draws)"
    kind = render.available()
    return Check("renderer", kind == "egl", kind, remedy, needed=False)


def git() -> Check:
    if shutil.which("git") is None:
        return Check("git", False, "missing", "apt install git")
    done = subprocess.run(["git", "var", "GIT_AUTHOR_IDENT"], capture_output=True, text=True)
    name = done.stdout.rpartition(" <")[0]
    remedy = "git config --global user.name NAME; git config --global user.email ADDRESS"
    state = name or "none: studies are committed as reelward"
    return Check("git identity", done.returncode == 0, state, remedy, needed=False)


def sandbox() -> Check:
    import numpy as np

    from reelward.motion import untrusted
    from reelward.motion.video import encode_mp4
    from reelward.runtime import jail

    layers = jail.layers()
    active = ", ".join(name for name in jail.LAYERS if layers[name]) or "none"
    missing = ", ".join(name for name in jail.REQUIRED if not layers[name])
    state = active + (
        f"; without {missing}: rewards and videos are tried with less protection" * bool(missing)
    )
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder).resolve() / "film.mp4"
        film.write_bytes(encode_mp4([np.zeros((32, 32, 3), np.uint8)], 25.0))
        untrusted.probe(film)  # the sandbox is for rewards and for videos
    remedy = "use Linux 5.13 or later with Landlock and seccomp, and a container that allows both"
    return Check("sandbox", not missing, state, remedy, needed=False)


def sites() -> Check:
    from datetime import date

    from yt_dlp import YoutubeDL
    from yt_dlp.version import __version__ as release

    with YoutubeDL({"quiet": True}) as ydl:
        runtimes = [r.info for r in ydl._js_runtimes.values() if r and r.info]
    named = [f"{r.name} {r.version}" for r in runtimes if r.supported]
    age = (date.today() - date(*map(int, release.split(".")[:3]))).days
    state = f"yt-dlp {release}, {age} days old; {', '.join(named) or 'no JavaScript runtime'}"
    remedy = "pip install --upgrade 'yt-dlp[default,deno]'"
    return Check("video sites", bool(named) and age <= DAYS_OLD, state, remedy, needed=False)


def packages() -> Check:
    names = ("torch", "mujoco", "dvc", "prefect", "av", "ai-edge-litert")
    return Check("packages", True, ", ".join(f"{n} {version(n)}" for n in names))


def gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        remedy = "nothing, where train.device is cpu; else a driver and a CUDA build of torch"
        return Check("gpu", False, "none", remedy, needed=False)
    return Check("gpu", True, torch.cuda.get_device_name())


CHECKS: tuple[Callable[[], Check], ...] = (
    system, python, packages, cores, gpu, disk, renderer, git, sandbox, sites,
)  # fmt: skip


def examined(check: Callable[[], Check]) -> Check:
    """The result of a check. One that raises an error has failed."""
    try:
        return check()
    except Exception as e:
        why = " ".join(f"{type(e).__name__}: {e}".split())
        needed = check not in (sandbox, sites)
        return Check(
            check.__name__, False, why, "pip install -c constraints.txt -e .[test]", needed
        )


def doctor() -> int:
    """Print the table. Returns 0, or 1 where something that is needed is missing."""
    table = Table(box=None, pad_edge=False)
    for title in ("", "", "state", "what helps"):
        table.add_column(title, overflow="fold")
    checks = [examined(check) for check in CHECKS]
    for c in checks:
        sign = "[green]ok[/]" if c.ok else "[red]missing[/]" if c.needed else "[yellow]note[/]"
        table.add_row(sign, c.what, escape(c.state), "" if c.ok else escape(c.remedy))
    Console().print(table)
    return int(any(c.needed and not c.ok for c in checks))
