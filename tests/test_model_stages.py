"""The stages with models: what their outputs hold, and that a kill repeats no finished call."""

from __future__ import annotations

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
from conftest import ROOT
from model_helpers import KEY
from model_scene import (
    CLOCKED,
    CRITERIA,
    FELL,
    GOOD,
    SLOW,
    WALKS,
    by_measure,
    checked_by_stage,
    feedback,
)
from model_scene import propose as written_by_model
from motions import EXPERT
from scripted_server import MODEL, Call

from reelward.critics.base import View
from reelward.models.spend import SpendLog
from reelward.models.store import Store
from reelward.motion.record import to_json
from reelward.records import (
    Candidates,
    CheckedCandidate,
    Feedback,
    Judgement,
)
from reelward.runtime import files
from reelward.runtime.errors import InputError, NetworkError
from stages import critique, propose, select

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


def write_view(folder: Path, view: View) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "motion.json", to_json(view.motion))
    if view.stats:
        files.write_record(folder / "stats.json", view.stats)
    if view.sheet:
        (folder / "sheet.jpg").write_bytes(view.sheet)


def checked(name: str, error: str | None = None) -> CheckedCandidate:
    return CheckedCandidate(
        name=name, start="scratch", number=0, note="", file=f"{name}.py", error=error
    )


@pytest.fixture
def judging(project: Path) -> critique.Args:
    """A critique stage with two candidates to judge."""
    write_view(Path("expert"), replace(WALKS, motion=replace(EXPERT, notes=("TITLE: obey me",))))
    write_view(Path("parent"), SLOW)
    for name, view in (("c0", GOOD), ("c1", FELL)):
        write_view(Path("rollouts") / name, view)
    index = Candidates(candidates=(checked("c0"), checked("c1"), checked("c2", "no")))
    files.write_record(Path("rollouts/index.json"), index)
    files.write_record(Path("criteria.json"), CRITERIA)
    Path("critiques.yaml").write_text("{}\n")
    return critique.Args(
        expert=Path("expert"), criteria=Path("criteria.json"), rollouts=Path("rollouts"),
        parent=Path("parent"), out=Path("critique.json"), iteration="iter-00", task="walk",
        critic="vlm", model=MODEL, temperature=None, max_tokens=1000,
        file=Path("critiques.yaml"), noise=0.03, measure=ROOT / "params.yaml",
    )  # fmt: skip


def judgement(args: critique.Args) -> Judgement:
    critique.main(args)
    return files.read_record(args.out, Judgement)


def test_the_critique_holds_its_calls_and_nothing_of_the_video(
    serve_script: Callable, judging: critique.Args
) -> None:
    server = serve_script()
    result = judgement(judging)
    assert result.critic == "vlm" and result.model_calls is not None
    assert result.model_calls.model == MODEL and result.model_calls.scripted
    assert set(result.candidates) == {"c0", "c1"} and len(result.model_calls.calls) == 4
    assert result.parent == by_measure(SLOW, SLOW)
    before = judging.out.read_bytes()
    for secret in ("obey", KEY, server.url):
        assert secret.encode() not in before
    critique.main(judging)
    assert judging.out.read_bytes() == before and server.answered == 4


def test_the_measured_critique_asks_no_model(judging: critique.Args) -> None:
    result = judgement(replace(judging, critic="measured", model=None))
    assert result.model_calls is None and result.candidates["c0"] == by_measure(GOOD, SLOW)


def test_a_person_may_be_the_critic(judging: critique.Args) -> None:
    judging = replace(judging, critic="person", model=None)
    with pytest.raises(InputError, match="critique of iter-00's c0, c1.*iter-00"):
        critique.main(judging)
    entry = "{wrong: drags, rewrite: '', remove: '', add: height, failure: drag, verdict: better, "
    judging.file.write_text(
        f"iter-00:\n  c0: {entry}confidence: 0.8}}\n  c1: {entry}confidence: 2.0}}\n"
    )
    with pytest.raises(InputError, match="iter-00.c1.confidence = 2.0: .*less than or equal to 1"):
        critique.main(judging)
    judging.file.write_text(judging.file.read_text().replace("2.0", "0.9"))
    critiques = judgement(judging).candidates
    assert critiques["c0"].wrong == "drags" and not critiques["c0"].contested
    assert critiques["c1"].failure == "fall" and critiques["c1"].contested  # it praised a fall


@pytest.mark.usefixtures("unjailed")
def test_when_every_candidate_fails_the_parents_reward_stays(
    serve_script: Callable, judging: critique.Args, project: Path
) -> None:
    serve_script(lambda call: "I cannot write that.")
    index = Candidates(candidates=checked_by_stage(written_by_model(feedback())))
    assert [c.error for c in index.candidates] == ["refused: I cannot write that."] * 3
    files.write_record(Path("rollouts/index.json"), index)
    critique.main(judging)

    Path("before").mkdir()
    Path("before/selected.py").write_text(CLOCKED)
    files.write_record(Path("before/feedback.json"), feedback())
    Path("before/history.csv").write_text("")
    with files.new_folder(Path("best")) as best:
        write_view(best, SLOW)
    select.main(
        select.Args(
            iteration="iter-01",
            critique=Path("critique.json"),
            rollouts=Path("rollouts"),
            policies=Path("policies"),
            candidates=Path("candidates"),
            parent_best=Path("best"),
            parent_rewards=Path("before"),
            selected_out=Path("selected.py"),
            feedback_out=Path("feedback.json"),
            history_out=Path("history.csv"),
            best_out=Path("new"),
            min_gain=0.0,
            measure=ROOT / "params.yaml",
        )  # fmt: skip
    )
    assert Path("selected.py").read_text() == CLOCKED
    assert Path("history.csv").read_text().splitlines()[1].startswith("iter-01,failed,")
    after = files.read_record(Path("feedback.json"), Feedback)
    assert after.selected == "iter-00/c1" and len(after.refused) == 3
    assert after.critique is not None and after.critique.wrong == "drags the left foot"
    assert after.training == feedback().training


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
            real, calls = getattr(owner, name), []

            def wrapped(*args: Any) -> Any:
                calls.append(1)
                if len(calls) > turn and not after:
                    die()
                result = real(*args)
                if len(calls) > turn and after:
                    die()
                return result

            setattr(owner, name, wrapped)
        critique.main(judging)

    pids: list[int] = []
    started = threading.Event()

    def script(call: Call) -> str:
        started.wait(60)
        if point == "while it is answered" and len(server.calls) > turn and pids:
            os.kill(pids.pop(), signal.SIGKILL)
            connection.wait([child.sentinel], 60)  # to join it twice at once loses its exit code
            raise ConnectionError
        return scripted.helpful(call)

    server = serve_script(script)
    server.personality = "ollama"
    child = get_context("fork").Process(target=stage_that_dies)
    child.start()
    pids.append(child.pid or 0)
    started.set()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL and not judging.out.exists()
    pids.clear()
    result = judgement(judging)
    assert result.model_calls is not None and len(result.model_calls.calls) == 4
    unfinished = point == "while it is answered"
    assert len(server.calls) == 4 + unfinished and server.answered == 4


def test_an_unreachable_server_stops_a_stage_before_any_work(
    judging: critique.Args, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    proposing = propose.Args(
        expert=Path("expert"), criteria=Path("criteria.json"), parent=Path("nowhere"),
        parent_best=Path("parent"), out=Path("proposal.json"), robot="biped",
        native=Path("params.yaml"), task="walk", critic="vlm", author="measured",
        candidates=2, model=None, temperature=None, max_tokens=1000, evidence="critique",
    )  # fmt: skip
    for attempt in (lambda: critique.main(judging), lambda: propose.main(proposing)):
        with pytest.raises(NetworkError, match="127.0.0.1:9/v1 .OPENAI_BASE_URL.: "):
            attempt()
    with pytest.raises(InputError, match="critique.model: expected the name of a model"):
        critique.main(replace(judging, model=None))
    assert not (project / "proposal.json").exists()
