"""Files of a study that were damaged, or that somebody else wrote: policies, and names of candidates."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reelward.policy import About, Policy
from reelward.records import Candidates, Feedback, Judgement, Proposal, Record, Stats
from reelward.runtime import files
from reelward.runtime.explain import explain
from reelward.runtime.files import FileError
from reelward.sim.spaces import Box, Vector
from stages import select

# --- policies ------------------------------------------------------------------------------------


def sound() -> dict[str, Any]:
    return dict(Policy(About(Vector(3), Box(2), 8, "tanh"), 0.5).state())


def weights(**changes: Tensor) -> dict[str, Any]:
    state = sound()
    return state | {"weights": state["weights"] | changes}


def about(**changes: object) -> dict[str, Any]:
    state = sound()
    return state | {"about": state["about"] | changes}


NO_POLICIES: dict[str, object] = {
    "an old one": {"format": 1, "about": {}},
    "a list": [1, 2],
    "a tensor": torch.ones(3),
    "nothing": None,
    "a tensor for a format": sound() | {"format": torch.tensor([2, 2])},
    "without weights": {"format": 2, "about": sound()["about"]},
    "without a description": {"format": 2, "weights": {}},
    "a list of weights": sound() | {"weights": [1]},
    "of other keys": sound() | {"weights": {}},
    "with one more": weights(extra=torch.ones(1)),
    "a number for a tensor": weights(log_std=0.5),
    "another shape": weights(log_std=torch.ones(3)),
    "another type": weights(log_std=torch.ones(2).double()),
    "a sparse one": weights(log_std=torch.ones(2).to_sparse()),
    "not a number": weights(log_std=torch.tensor([0.0, math.nan])),
    "infinite": weights(**{"actor.0.bias": torch.full((8,), math.inf)}),
    "infinite statistics": weights(**{"obs.var": torch.full((3,), math.inf).double()}),
    "another network": about(hidden=9),
    "a network larger than memory": about(hidden=10**9),
    "a network larger than numbers": about(hidden=10**30),
    "an empty network": about(hidden=0),
    "a negative network": about(hidden=-1),
    "an unknown activation": about(activation="exec"),
    "a picture": about(observation={"height": 10**9, "width": 10**9, "channels": 3}),
}


@pytest.mark.parametrize("kind", NO_POLICIES)
def test_a_file_that_is_no_policy_is_one_line(tmp_path, kind):
    path = tmp_path / "policy.pt"
    torch.save(NO_POLICIES[kind], path)
    with pytest.raises(FileError, match="policy.pt: expected .*; train it again") as e:
        Policy.load(path)
    assert str(e.value).isprintable() and len(str(e.value)) < 300
    assert explain(e.value)[0] == 2


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("kind", ["pickle", "in a tensor file", "cut off", "text", "empty"])
def test_a_file_with_code_or_a_damaged_one_runs_nothing(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "policy.pt"
    torch.save(sound() | {"about": Payload()} if kind == "in a tensor file" else sound(), path)
    contents = {"pickle": pickle.dumps(Payload()), "text": b"import os", "empty": b""}
    path.write_bytes(contents.get(kind, path.read_bytes()[: -200 if kind == "cut off" else None]))
    with pytest.raises(FileError, match="policy.pt: expected tensors") as e:
        Policy.load(path)
    assert "\n" not in str(e.value) and not Path("ran").exists()


@pytest.mark.parametrize("kind", ["sound", "not a number"])
def test_select_takes_no_policy_that_is_not_finite(tmp_path, kind):
    lines = {"candidates": [checked("c0", "c0.py")]}
    critique = JUDGED | {"parent": CRITIQUE | {"closeness": 0.1}, "candidates": {"c0": CRITIQUE}}
    files.write_json(tmp_path / "critique.json", critique)
    with files.new_folder(tmp_path / "rollouts") as new:
        files.write_json(new / "index.json", lines)
        stats = Stats(episodes=1, seconds=1.0, lived_s=(1.0,), term_means={"a": 1.0})
        files.write_record(new / "c0/stats.json", stats)
    with files.new_folder(tmp_path / "policies") as new:
        torch.save(NO_POLICIES.get(kind, sound()), new / "c0.pt")
        (new / "c0.csv").write_text("env_steps,return,episode_length,term/a\n1,2,3,4\n")
    (tmp_path / "c0.py").write_text("the reward")
    files.write_record(tmp_path / "parent/feedback.json", Feedback())
    (tmp_path / "parent/history.csv").write_text("iteration\n")
    (tmp_path / "params.yaml").write_text(
        "measure: {kind: fitness, field: task_reward, goal: 1.0, worst: 0.0}"
    )
    args = select.Args(
        "iter-00", tmp_path / "critique.json", tmp_path / "rollouts", tmp_path / "policies", tmp_path,
        tmp_path / "best0", tmp_path / "parent", tmp_path / "selected.py", tmp_path / "feedback.json",
        tmp_path / "history.csv", tmp_path / "best", min_gain=0.0,
        measure=tmp_path / "params.yaml",
    )  # fmt: skip
    if kind == "sound":
        select.main(args)
        assert (tmp_path / "selected.py").read_text() == "the reward"
        return
    with pytest.raises(FileError, match="c0.pt: expected finite weights"):
        select.main(args)
    assert not (tmp_path / "selected.py").exists() and not (tmp_path / "best").exists()


# --- names ---------------------------------------------------------------------------------------

NAMES = [
    "../c0",
    "/tmp/c0",
    "c0/..",
    "..",
    ".",
    "",
    "c0\n",
    "c0\0",
    "-rf",
    "c 0",
    "é",
    "c" * 65,
    "c0.py",
]


CRITIQUE: dict[str, object] = {
    "closeness": 1.0, "survival": 1.0, "gates": {}, "rows": [], "verdict": "better",
    "measured_verdict": "better",
}  # fmt: skip
JUDGED: dict[str, object] = {"critic": "measured", "parent": CRITIQUE}


def candidate(name: str) -> dict[str, object]:
    return {"name": name, "source": "", "start": "warm", "number": 0, "note": ""}


def checked(name: str, file: str) -> dict[str, object]:
    line = {"name": name, "start": "warm", "number": 0, "note": "", "error": None}
    return line | {"file": file}


def refused(folder: Path, kind: type[Record], content: object) -> str:
    """The message of a record that must not be read."""
    files.write_json(folder / "record.json", content)
    with pytest.raises(FileError) as e:
        files.read_record(folder / "record.json", kind)
    return str(e.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    good = {"author": "llm", "candidates": [candidate("c0")]}
    files.write_json(tmp_path / "proposal.json", good)
    assert files.read_record(tmp_path / "proposal.json", Proposal).candidates[0].name == "c0"
    bad: list[tuple[type[Record], dict[str, object], str]] = [
        (Proposal, good | {"candidates": [candidate(name)]}, "candidates.0.name"),
        (Candidates, {"candidates": [checked(name, "c0.py")]}, "candidates.0.name"),
        (Candidates, {"candidates": [checked("c0", f"{name}.py")]}, "candidates.0.file"),
        (Judgement, JUDGED | {"candidates": {name: CRITIQUE}}, "candidates"),
    ]
    for kind, content, where in bad:
        text = refused(tmp_path, kind, content)
        assert where in text and text.isprintable(), text


def test_two_candidates_of_one_name_are_refused(tmp_path):
    both = [candidate("c0"), candidate("C0")]
    text = refused(tmp_path, Proposal, {"author": "llm", "candidates": both})
    assert "expected candidates of different names" in text
    lines = [checked("c0", "c0.py")] * 2
    assert "different names" in refused(tmp_path, Candidates, {"candidates": lines})
