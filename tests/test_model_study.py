"""A study with models, run by DVC: nothing is paid for twice, and no key is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ran, run, settle
from scripted_server import Server

from reelward.runtime.errors import InputError
from stages import describe

KEY = "-".join(("sk", "canary", "3f9a1c77e0b24d"))
"""written in pieces, because the whole key must not be in any file"""


def repro(
    folder: Path, server: Server, key: str = KEY, code: int = 0, to: str = "select@iter-00",
    **settings: str,
) -> str:  # fmt: skip
    more = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": key, "REELWARD_DEBUG": "1"}
    args = ("repro", "--verbose", to)
    return run(folder, sys.executable, "-m", "dvc", *args, code=code, **more, **settings)


def rename_model(folder: Path, old: str, new: str) -> None:
    path = folder / "params.yaml"
    text = path.read_text()
    assert text.count(f"model: {old}") == 2
    path.write_text(text.replace(f"model: {old}", f"model: {new}"))


def check_replay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored stage needs no key and no server and gives the same bytes. An unknown question is
    reported with its first difference."""
    args = describe.Args(
        expert=Path("data/expert/keyframes"), out=Path("scratch/again.json"),
        task="walk like the person in the video", critic="vlm", model="scripted",
        temperature=None, max_tokens=8000, measure=Path("params.yaml"),
    )  # fmt: skip
    with monkeypatch.context() as here:
        here.chdir(folder)
        here.setenv("REELWARD_MODE", "replay")
        describe.main(args)
        assert args.out.read_bytes() == Path("data/expert/criteria.json").read_bytes()
        with pytest.raises(InputError, match="the first difference is .*video.*, now .*run"):
            describe.main(replace(args, task="run"))


def test_a_study_with_models_pays_once_and_leaves_no_key(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(mine, {"propose.author": "llm", "critique.critic": "vlm"})
    rename_model(mine, "null ", "scripted ")
    with Server("openai", key=KEY) as server:
        refused = repro(mine, server, "sk-wrong-key-0123456789", code=255)
        assert "401, Incorrect API key provided" in refused and "OPENAI_API_KEY" in refused
        assert "sk-wrong" not in refused and ran(refused)[-1] == "describe"

        # One description and two rewards. The first request also learned what the server can do.
        stopped = repro(mine, server, code=255, REELWARD_BUDGET_CALLS="4")
        assert "budget_calls: 4 of 4 spent" in stopped and ran(stopped)[-1] == "critique@iter-00"
        assert server.answered == 1 + 2
        finished = repro(mine, server, REELWARD_BUDGET_CALLS="8")
        # Each of two candidates is judged twice.
        assert server.answered == 1 + 2 + 4 and server.faults == []
        assert "train@iter-00" not in ran(finished)
        check_replay(mine, monkeypatch)
        paid = {"describe", "propose@iter-00", "critique@iter-00"}
        assert paid <= {*ran(stopped), *ran(finished)}
        for name in ("criteria", "proposal", "critique"):
            (path,) = (mine / "data").rglob(f"{name}.json")
            assert json.loads(path.read_text())["model_calls"]["scripted"] is True

        rename_model(mine, "scripted ", "scripted-two ")
        other = repro(mine, server, to="describe")
        assert "describe" in ran(other) and server.answered == 7 + 1

        subprocess.run(("rm", "-r", mine / "scratch/calls"), check=True)
        rename_model(mine, "scripted-two ", "scripted ")
        back = repro(mine, server)
        assert server.answered == 7 + 1 and not paid & set(ran(back))

    run(mine, "git", "add", "--all")
    run(mine, "git", "commit", "--quiet", "--message", "With models")
    objects = subprocess.run(
        ("git", "cat-file", "--batch-all-objects", "--batch"), cwd=mine, capture_output=True
    ).stdout
    assert b"With models" in objects and b"model: scripted" in objects
    assert KEY.encode() not in objects
    assert not [p for p in mine.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert KEY not in stopped + finished + other + back
