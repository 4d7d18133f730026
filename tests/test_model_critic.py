"""The critic that looks at contact sheets: what it is asked, and when its verdict counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import scripted_server as scripted
from model_helpers import sheet
from model_scene import FELL, GOOD, SLOW, STATS, by_measure, constant, criticised, scene
from motions import motion
from scripted_server import Call

from reelward.critics import vlm
from reelward.critics.base import View
from reelward.loop import choose

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


def biased(better: bool) -> Callable[[Call], str]:
    """A critic that always prefers the judged robot, or always the other one."""

    def answer(call: Call) -> str:
        judged, other = ("A", "B") if "Judge robot A" in call.first else ("B", "A")
        return constant(closer=judged if better else other)(call)

    return answer


def test_the_critic_is_asked_twice_with_the_robots_exchanged(serve_script: Callable) -> None:
    server = serve_script()
    server.personality = "ollama"
    critique = criticised(GOOD, SLOW)
    first, second = (call.first for call in server.calls)
    assert "Judge robot A" in first and "Judge robot B" in second
    speed = "| speed (Froude number v/sqrt(g L)) | 0.43 "
    assert f"{speed}| 0.42 | -0.0581 | 0.3 | -0.756 |" in first
    assert f"{speed}| 0.3 | -0.756 | 0.42 | -0.0581 |" in second
    sent = [scripted.picture_urls(call.body) for call in server.calls]
    assert sent[0][0] == sent[1][0] and sent[0][1:] == sent[1][:0:-1] and len(set(sent[0])) == 3
    assert critique.verdict == critique.measured_verdict == "better" and not critique.contested
    assert critique.wrong.startswith("speed") and critique.failure == "none"
    figures = by_measure(GOOD, SLOW)
    assert critique.closeness == figures.closeness and critique.gates == figures.gates
    assert critique.rows == figures.rows
    assert server.faults == []


def test_a_fall_at_once_is_described_in_numbers(serve_script: Callable) -> None:
    server = serve_script()
    critique = criticised(FELL, SLOW)
    assert "Robot A falls after 0.4 s of 10 s in 1 of 1 episodes." in server.calls[-2].first
    assert "Picture 2: robot B." in server.calls[-2].first
    assert critique.failure == "fall" and critique.verdict == "worse"


@pytest.mark.parametrize(
    ("closer", "verdict", "because"),
    [
        ("A", "cannot_tell", "with the order swapped, the critic answered better, then worse"),
        ("same", "same", None),
        ("cannot_tell", "cannot_tell", None),
    ],
)
def test_a_verdict_that_depends_on_the_order_does_not_count(
    serve_script: Callable, closer: str, verdict: str, because: str | None
) -> None:
    serve_script(constant(closer=closer))
    critique = criticised(GOOD, SLOW)
    assert critique.verdict == verdict and critique.contested == bool(because)
    assert critique.failure == "drag" and critique.add == "a"
    assert not because or because in critique.contested_because[0]


def test_praise_against_the_measure_is_contested_and_selects_nothing(
    serve_script: Callable,
) -> None:
    serve_script(biased(better=True))
    judgement = vlm.critique(scene(GOOD, c0=SLOW))
    because = judgement.candidates["c0"].contested_because
    assert because == ("the critic says better, the measure worse",)
    assert choose(judgement, 0.0) is None


def test_a_critic_cannot_keep_out_what_is_measurably_better(serve_script: Callable) -> None:
    serve_script(biased(better=False))
    judgement = vlm.critique(scene(SLOW, c0=GOOD))
    assert judgement.candidates["c0"].contested and choose(judgement, 0.0) == "c0"


@pytest.mark.parametrize(
    ("script", "chosen"),
    [
        (biased(better=False), None),
        (biased(better=True), "c0"),
        (constant(closer="A"), None),  # contested: the measure alone would have to say better
    ],
)
def test_within_the_noise_the_critic_decides(
    serve_script: Callable, script: Callable, chosen: str | None
) -> None:
    serve_script(script)
    near = View(motion(speed=0.425), sheet(140), STATS)
    assert choose(vlm.critique(scene(GOOD, c0=near)), 0.0) == chosen


@pytest.mark.parametrize(
    "script",
    [
        lambda call: "I'm sorry, I can't judge people.",
        lambda call: "A is better!",
        constant(closer="C"),
        constant(wrong="x" * 5000, confidence=-1),
    ],
)
def test_without_an_answer_the_measure_stands_alone(
    serve_script: Callable, script: Callable
) -> None:
    serve_script(script)
    critique = criticised(GOOD, SLOW)
    assert critique.verdict == "cannot_tell" and critique.contested
    assert critique.contested_because[0].startswith("no answer: ")
    assert critique.wrong == by_measure(GOOD, SLOW).wrong


def test_a_bad_answer_costs_one_candidate_its_verdict(serve_script: Callable) -> None:
    """The other candidate of the same stage keeps the critic's verdict."""
    good = biased(better=True)

    def script(call: Call) -> str:
        return "I cannot judge this." if "| 0.42 |" in call.first else good(call)

    serve_script(script)
    near = View(motion(speed=0.31), sheet(140), STATS)
    critiques = vlm.critique(scene(SLOW, c0=GOOD, c1=near)).candidates
    assert critiques["c0"].contested_because == ("no answer: refused: I cannot judge this.",)
    assert critiques["c1"].verdict == "better" and not critiques["c1"].contested


def test_the_expert_is_described_from_its_sheet_and_figures(serve_script: Callable) -> None:
    server = serve_script()
    criteria = vlm.describe(scene(SLOW).measure, scene(SLOW).expert, "walk", scene(SLOW).model)
    (call,) = server.calls
    assert call.pictures == [(896, 448)] and "| speed | 0.43 | Froude" in call.first
    assert criteria.criteria[0] == "speed near 0.43 (Froude number v/sqrt(g L))"
    assert Path("scratch/calls").is_dir() and criteria.model_calls is not None
