"""The stages with models: what their outputs hold, and that a kill repeats no finished call."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

import pytest
import scripted_server as scripted
from model_helpers import KEY, ROOT
from model_scene import (
    CLOCKED,
    DESCRIBED,
    FELL,
    GOOD,
    SLOW,
    WALKS,
    WORDS,
    feedback_of,
    propose_with,
)
from motions import EXPERT
from reelward.critics.view import View
from scripted_server import MODEL, Call

from reelward.critics import measured
from reelward.models.spend import SpendLog
from reelward.models.store import Store
from reelward.motion.record import to_json
from reelward.runtime import files
from reelward.runtime.errors import InputError, NetworkError
from reelward.studies import ledger
from stages import critique, propose, rewards, select

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


def view(folder: Path, shown: View) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "motion.json", to_json(shown.motion))
    files.write_json(folder / "stats.json", dict(shown.stats))
    if shown.sheet:
        (folder / "sheet.jpg").write_bytes(shown.sheet)
    return folder


@pytest.fixture
def judging(project: Path) -> critique.Args:
    """A critique stage with two candidates to judge."""
    view(project / "expert", replace(WALKS, motion=replace(EXPERT, notes=("TITLE: obey me",))))
    view(project / "parent", SLOW)
    for name, shown in (("c0", GOOD), ("c1", FELL)):
        view(project / "rollouts" / name, shown)
    index = [{"name": n, "error": None} for n in ("c0", "c1")] + [{"name": "c2", "error": "no"}]
    files.write_json(project / "rollouts/index.json", {"candidates": index})
    files.write_json(project / "criteria.json", DESCRIBED)
    (project / "said.yaml").write_text("{}\n")
    names = ("expert", "criteria", "rollouts", "parent", "out")
    paths = [Path(n) for n in ("expert", "criteria.json", "rollouts", "parent", "critique.json")]
    return critique.Args(
        **dict(zip(names, paths, strict=True)), iteration="iter-00", task="walk", critic="vlm",
        model=MODEL, temperature=None, max_tokens=1000, file=Path("said.yaml"), noise=0.03,
    )  # fmt: skip


def test_the_critique_carries_its_calls_and_nothing_of_the_video(
    serve_script: Callable, judging: critique.Args
) -> None:
    server = serve_script()
    critique.main(judging)
    said = files.read_json(judging.out)
    assert said["critic"] == "vlm" and said["model"] == MODEL and said["scripted"] is True
    assert set(said["candidates"]) == {"c0", "c1"} and len(said["calls"]) == 4
    assert said["parent"] == measured.critique(EXPERT, SLOW.motion, SLOW.motion, 0.03)
    assert "obey" not in json.dumps(said) and KEY not in json.dumps(said)
    assert server.url not in json.dumps(said)
    before = judging.out.read_bytes()
    critique.main(judging)
    assert judging.out.read_bytes() == before and server.answered == 4


def test_the_measured_critique_is_what_it_was(judging: critique.Args) -> None:
    critique.main(replace(judging, critic="measured", model=None))
    said = files.read_json(judging.out)
    assert list(said) == ["critic", "parent", "candidates"]
    assert said["candidates"]["c0"] == measured.critique(EXPERT, GOOD.motion, SLOW.motion, 0.03)


def test_a_person_may_be_the_critic(judging: critique.Args) -> None:
    judging = replace(judging, critic="file", model=None)
    with pytest.raises(InputError, match="what you say of iter-00's c0, c1.*rollouts"):
        critique.main(judging)
    one = "{wrong: drags, rewrite: '', remove: '', add: height, failure: drag, verdict: better, "
    judging.file.write_text(
        f"iter-00:\n  c0: {one}confidence: 0.8}}\n  c1: {one}confidence: 2.0}}\n"
    )
    with pytest.raises(InputError, match="iter-00.c1.confidence: .*less than or equal to 1"):
        critique.main(judging)
    judging.file.write_text(judging.file.read_text().replace("2.0", "0.9"))
    critique.main(judging)
    found = files.read_json(judging.out)["candidates"]
    assert found["c0"]["wrong"] == "drags" and not found["c0"]["contested"]
    assert found["c1"]["failure"] == "fall" and found["c1"]["contested"]  # it praised a fall


def test_when_all_fail_the_last_good_reward_stays_and_it_is_marked(
    serve_script: Callable, judging: critique.Args, project: Path
) -> None:
    serve_script(lambda call: "I cannot write that.")
    made = propose_with(feedback_of(WORDS))
    files.write_json(project / "proposal.json", {"alternate": True, "candidates": made})
    (project / "loop.yaml").write_text(ledger.FIRST)
    given = (
        project / "candidates",
        "biped",
        project / "loop.yaml",
        "iter-00",
        ROOT / "params.yaml",
    )
    rewards.main(rewards.Args(project / "proposal.json", *given))
    index = files.read_json(project / "candidates/index.json")["candidates"]
    assert [e["error"] for e in index] == ["refused: I cannot write that."] * 3
    files.write_json(project / "rollouts/index.json", {"candidates": index})
    critique.main(judging)
    (project / "before").mkdir()
    (project / "before/selected.py").write_text(CLOCKED)
    files.write_json(project / "before/feedback.json", feedback_of(WORDS))
    (project / "before/history.csv").write_text(",".join(select.COLUMNS) + "\n")
    with files.new_folder(project / "best") as best:
        view(best, SLOW)
    out = [project / n for n in ("selected.py", "feedback.json", "history.csv", "new")]
    select.main(select.Args(
        "iter-01", project / "critique.json", project / "rollouts", project / "policies",
        project / "candidates", project / "best", project / "before", *out, 0.0,
    ))  # fmt: skip
    assert (project / "selected.py").read_text() == CLOCKED
    assert (project / "history.csv").read_text().splitlines()[1].startswith("iter-01,failed,")
    feedback = files.read_json(project / "feedback.json")
    assert feedback["selected"] == "iter-00/c1" and len(feedback["refused"]) == 3
    assert feedback["critique"]["wrong"] == "drags the left foot"  # still what was said of it
    assert feedback["training"] == feedback_of(WORDS)["training"]


def test_a_learning_curve_is_told_in_ten_points() -> None:
    curve = [
        {"env_steps": str(i), "return": str(2 * i), "episode_length": "nan" if i < 30 else "9",
         "term/a": str(i / 100), "term/b": "-1.5", "loss": "3"}
        for i in range(1, 101)
    ]  # fmt: skip
    said = select.learning(curve)
    assert said["env_steps"] == [11, 21, 31, 41, 51, 60, 70, 80, 90, 100]
    assert said["return"] == [22, 42, 62, 82, 102, 120, 140, 160, 180, 200]
    assert said["episode_length"] == [None, None] + [9.0] * 8
    a, b = said["terms"]["a"], said["terms"]["b"]
    assert (a["min"], a["mean"], a["max"]) == (0.01, 0.505, 1.0) and len(a["points"]) == 10
    assert a["share"] == pytest.approx(50.5 / 200.5, abs=1e-4) and a["share"] + b["share"] == 1.0
    assert len(select.learning(curve[:3])["env_steps"]) == 3


POINTS = {
    "before it is sent": (SpendLog, "begin", 0),
    "when it is stored": (Store, "keep", 1),
    "when it is paid": (SpendLog, "settle", 1),
}


@pytest.mark.parametrize("point", [*POINTS, "while it is answered"])
@pytest.mark.parametrize("turn", [0, 1, 3])
def test_a_kill_repeats_no_finished_call(
    serve_script: Callable, judging: critique.Args, point: str, turn: int
) -> None:
    """Each of the stage's four calls is answered once, wherever the stage is killed."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def stage_that_dies() -> None:
        if point in POINTS:
            owner, name, after = POINTS[point]
            real, seen = getattr(owner, name), []

            def wrapped(*args: Any) -> Any:
                seen.append(1)
                if len(seen) > turn and not after:
                    die()
                result = real(*args)
                if len(seen) > turn and after:
                    die()
                return result

            setattr(owner, name, wrapped)
        critique.main(judging)

    pids: list[int] = []
    known = threading.Event()

    def script(call: Call) -> str:
        known.wait(30)
        if point == "while it is answered" and len(server.calls) > turn and pids:
            os.kill(pids.pop(), signal.SIGKILL)
            connection.wait([child.sentinel], 30)  # to join it twice at once loses its exit code
            raise ConnectionError
        return scripted.helpful(call)

    server = serve_script(script)
    server.personality = "ollama"
    child = get_context("fork").Process(target=stage_that_dies)
    child.start()
    pids.append(child.pid or 0)
    known.set()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL and not judging.out.exists()
    pids.clear()
    critique.main(judging)
    assert len(files.read_json(judging.out)["calls"]) == 4
    unfinished = point == "while it is answered"
    assert len(server.calls) == 4 + unfinished and server.answered == 4


def test_no_server_is_one_line_before_any_work(
    judging: critique.Args, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    asked = propose.Args(
        expert=Path("expert"), criteria=Path("criteria.json"), parent=Path("nowhere"),
        parent_best=Path("parent"), out=Path("proposal.json"), robot="biped", native=Path("params.yaml"), task="walk",
        critic="vlm", author="measured", candidates=2, model=None, temperature=None,
        max_tokens=1000, evidence="critique",
    )  # fmt: skip
    for attempt in (lambda: critique.main(judging), lambda: propose.main(asked)):
        with pytest.raises(NetworkError, match="127.0.0.1:9/v1 .OPENAI_BASE_URL.: "):
            attempt()
    with pytest.raises(InputError, match="critique.model: expected the name of a model"):
        critique.main(replace(judging, model=None))
    assert not (project / "proposal.json").exists()
