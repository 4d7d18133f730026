"""A wheel of the package works in a clone, where robots, prompts and presets are."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

from conftest import run


def test_an_installed_package_answers_in_a_clone(desk: Path, tmp_path: Path) -> None:
    wheels, site, clone = (tmp_path / name for name in ("wheels", "site", "clone"))
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(desk, *pip, "--wheel-dir", str(wheels), ".")
    with zipfile.ZipFile(next(wheels.iterdir())) as wheel:
        wheel.extractall(site)
    tracked = set(run(desk, "git", "ls-files", "reelward").splitlines())
    assert tracked == {
        p.relative_to(site).as_posix() for p in (site / "reelward").rglob("*") if p.is_file()
    }

    shutil.copytree(desk, clone, ignore=lambda folder, _: ["reelward"] * (folder == str(desk)))
    check = (sys.executable, "-m", "reelward.cli", "check", "rewards/seed/selected.py", "--json")
    output = run(clone, *check, "--robot", "biped", PYTHONPATH=str(site))
    assert [term["name"] for term in json.loads(output)["terms"]] == ["alive", "speed", "upright"]
    run(clone, "git", "switch", "--quiet", "main")
    new = (sys.executable, "-m", "reelward.cli", "new", "walk", "--robot", "ant")
    run(clone, "git", "commit", "--quiet", "--all", "--message", "No package here")
    run(clone, *new, PYTHONPATH=str(site))
    assert "robot: ant" in (clone / "params.yaml").read_text()
    where = run(clone, sys.executable, "-c", "import reelward; print(reelward.__path__)",
                PYTHONPATH=str(site))  # fmt: skip
    assert str(site) in where
