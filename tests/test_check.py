"""What the stage `check` finds before any work, a line each."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from reelward.critics import person
from reelward.runtime.explain import explain
from reelward.runtime.validation import read_yaml
from stages.__main__ import complaints, file_complaints, ledger_complaints

PIPELINE = read_yaml(ROOT / "dvc.yaml")["stages"]
COMMANDS = {name: s.get("do", s)["cmd"] for name, s in PIPELINE.items()}
FITNESS = {"kind": "fitness", "field": "root_vel[0]", "goal": 1.0}


def lines(changes: dict[str, Any]) -> list[str]:
    """The complaints about our params.yaml after some changes."""
    params = read_yaml(ROOT / "params.yaml")
    for key, value in changes.items():
        params[key] = {**params.get(key, {}), **value} if isinstance(value, dict) else value
    return complaints(params, COMMANDS, "")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"rollout": {"seconds": 5.4}}, "rollout.seconds = 5.4: expected at least 5.5, a gait is not"),
        ({"train": {"num_minibatches": 7}}, "train.num_minibatches = 7: expected a divisor of num_envs x num_steps = 4096"),
        ({"train": {"num_envs": 10**8}}, "train.num_envs = 100000000: expected less, a candidate's steps need 512 GB"),
        ({"train": {"max_grad_norm": float("inf")}}, "train.max_grad_norm = Infinity: expected a number above 0"),
        ({"fetch": {"start": 7.0}}, "fetch.end = 6.35: expected more than start = 7, or null"),
        ({"fetch": {"crop": [0.5, 0.0, 0.6, 1.0]}}, "fetch.crop = [0.5, 0.0, 0.6, 1.0]: expected x, y, width"),
        ({"fetch": {"crop": [-5, 0, 100, 100]}}, "fetch.crop = [-5, 0, 100, 100]: expected x, y, width"),
        ({"fetch": {"crop": [0.1, 0.1, 0.0, 0.5]}}, "fetch.crop = [0.1, 0.1, 0.0, 0.5]: expected x, y, width"),
        ({"robot": "biped; touch f"}, "robot = biped; touch f: expected a folder in robots/"),
        ({"task": "-x"}, "task = -x: expected a sentence without apostrophes and without a dash"),
        ({"task": "a\u2028b"}, "task = 'a\\u2028b': expected one line without control characters"),
        ({"fetch": {"licence": "\x1b[31m"}}, "fetch.licence = '\\x1b[31m': expected one line"),
        ({"propose": {"evil\x7f": 1}}, "'propose.evil\\x7f': expected a plain key"),
    ],
)  # fmt: skip
def test_a_mistake_that_would_show_hours_later_is_one_line(
    changes: dict[str, Any], line: str
) -> None:
    assert [each for each in lines(changes) if each.startswith(line)]


def test_what_fits_is_not_refused() -> None:
    assert lines({"rollout": {"seconds": 5.5}, "fetch": {"crop": [200, 100, 400, 300]}}) == []
    assert lines({"rollout": {"seconds": 0.5}, "measure": FITNESS}) == []
    assert lines({"task": "走る como él, “as is”", "measure": FITNESS | {"goal": -1.0}}) == []


@pytest.mark.parametrize("name", ["x'; touch f; echo '", " x", "-x", "a\nb"])
def test_a_models_name_stays_a_name(name: str) -> None:
    found = lines({"critique": {"critic": "vlm", "model": name}})
    assert any(line.startswith("critique.model = ") for line in found)


def test_all_mistakes_are_told_at_once() -> None:
    found = lines({"rollout": {"seconds": 1.0, "episods": 3}, "train": {"gamma": 2}, "seed": "one"})
    assert len(found) == 4


def test_files_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = {"critique": {"file": "mine.yaml"}, "fetch": {"source": "walk.mp4"}}
    assert [line.partition(":")[0] for line in file_complaints(params, needs_video=True)] == [
        "critique.file = mine.yaml", "fetch.source = walk.mp4",
    ]  # fmt: skip
    Path("mine.yaml").write_text("{}\n")
    assert file_complaints(params, needs_video=False) == []
    for source in ("https://example.com/a.mp4", "pypi:x==1/a.mp4", None):
        params["fetch"]["source"] = source  # type: ignore[assignment]
        assert file_complaints(params, needs_video=True) == []


def test_a_persons_critique_that_cannot_be_used_is_told_whichever_iteration_it_is_of(
    tmp_path: Path,
) -> None:
    file = tmp_path / "critiques.yaml"
    good = "{wrong: a, rewrite: '', remove: '', add: '', failure: none, verdict: better, confidence: 0.5}"
    file.write_text(f"iter-00: {{c0: {good}}}\niter-01:\n")
    assert person.complaints(file) == []
    bad = good.replace("better", "betr").replace("0.5", "5")
    file.write_text(f"iter-00: {{c0: {good}}}\niter-01: {{c1: {bad}}}\niter-02: fine\n")
    critic = {"critique": {"file": str(file), "critic": "person"}}
    found = file_complaints(critic, needs_video=False)
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "iter-01.c1.verdict = betr", "iter-01.c1.confidence = 5", "iter-02",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("iter-00:", "iter-00; touch f:"),
        lambda text: text.replace("parent: seed", "parent: '$(touch f)'"),
        lambda text: text.replace("last: iter-00", "last: '`touch f`'"),
        lambda text: "",
    ],
)
def test_names_of_the_ledger_stay_names(tmp_path: Path, edit: Callable[[str], str]) -> None:
    ledger = tmp_path / "loop.yaml"
    ledger.write_text((ROOT / "loop.yaml").read_text())
    assert ledger_complaints(ledger) == []
    ledger.write_text(edit(ledger.read_text()))
    assert len(ledger_complaints(ledger)) == 1
    ledger.unlink()
    assert ledger_complaints(ledger) == [f"{ledger} is missing"]


def test_memory_that_does_not_suffice_is_a_resource() -> None:
    import torch

    errors = [MemoryError("std::bad_alloc"), RuntimeError("std::bad_alloc")]
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    for error in (*errors, caught.value, OSError(errno.ENOSPC, "No space left")):
        assert explain(error)[0] == 5
