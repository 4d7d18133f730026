"""The critic that looks at contact sheets: what it is asked, and when its word counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scripted_server as scripted
from model_helpers import sheet
from model_scene import (
    BY,
    FELL,
    GOOD,
    SLOW,
    STATS,
    WALKS,
    critic,
    saying,
)
from motions import EXPERT, motion
from reelward.critics.view import View
from scripted_server import Call

from reelward.critics import measured, vlm
from stages import select

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


# --- the critic -------------------------------------------------------------------------------


def test_the_critic_is_asked_twice_with_the_robots_exchanged(serve_script: Callable) -> None:
    server = serve_script()
    server.personality = "ollama"
    said = vlm.critique(critic(), WALKS, GOOD, SLOW, **BY)
    first, second = (call.first for call in server.calls)
    assert "Judge robot A" in first and "Judge robot B" in second
    speed = "| speed (Froude number v/sqrt(g L)) | 0.43 "
    assert f"{speed}| 0.42 | -0.0581 | 0.3 | -0.756 |" in first
    assert f"{speed}| 0.3 | -0.756 | 0.42 | -0.0581 |" in second
    sent = [scripted.picture_urls(call.body) for call in server.calls]
    assert sent[0][0] == sent[1][0] and sent[0][1:] == sent[1][:0:-1] and len(set(sent[0])) == 3
    assert said["verdict"] == said["measured_verdict"] == "better" and not said["contested"]
    assert said["wrong"].startswith("speed") and said["failure"] == "none"
    numbers = measured.critique(EXPERT, GOOD.motion, SLOW.motion, 0.03)
    assert {k: said[k] for k in ("closeness", "gates", "differences")} == {
        k: numbers[k] for k in ("closeness", "gates", "differences")
    }
    assert server.faults == []


def test_a_fall_at_once_is_told_in_numbers(serve_script: Callable) -> None:
    server = serve_script()
    said = vlm.critique(critic(), WALKS, FELL, SLOW, **BY)
    assert "Robot A falls after 0.4 s of 10 s in 1 of 1 episodes." in server.calls[-2].first
    assert "Picture 2: robot B." in server.calls[-2].first
    assert said["failure"] == "fall" and said["verdict"] == "worse"


@pytest.mark.parametrize(
    ("answer", "learner", "verdict", "because"),
    [
        ({"closer": "A"}, GOOD, "cannot_tell", "with the order swapped it said better, then worse"),
        ({"closer": "same"}, GOOD, "same", None),
        ({"closer": "cannot_tell"}, GOOD, "cannot_tell", None),
    ],
)
def test_a_verdict_that_depends_on_the_order_is_none(
    serve_script: Callable, answer: dict, learner: View, verdict: str, because: str | None
) -> None:
    serve_script(saying(**answer))
    said = vlm.critique(critic(), WALKS, learner, SLOW, **BY)
    assert said["verdict"] == verdict and said["contested"] == bool(because)
    assert said["failure"] == "drag" and said["add"] == "a"
    assert not because or because in said["contested_because"][0]


def liking(better: bool) -> Callable[[Call], str]:
    """A critic that always finds the judged robot better, or worse, whatever its letter."""

    def answer(call: Call) -> str:
        judged = "A" if "Judge robot A" in call.first else "B"
        return saying(closer=judged if better else {"A": "B", "B": "A"}[judged])(call)

    return answer


def judged(parent: View, **candidates: View) -> dict[str, Any]:
    mind = critic()
    found = {name: vlm.critique(mind, WALKS, v, parent, **BY) for name, v in candidates.items()}
    return {"parent": measured.critique(EXPERT, parent.motion, parent.motion, 0.03),
            "candidates": found}  # fmt: skip


def test_a_critic_against_the_measure_is_contested_and_selects_nothing(
    serve_script: Callable,
) -> None:
    serve_script(liking(better=True))
    praised = judged(GOOD, c0=SLOW)
    c0 = praised["candidates"]["c0"]
    assert c0["contested_because"] == ["the critic says better, the measure worse"]
    assert select.choose(praised, 0.0) is None


def test_a_critic_cannot_keep_out_what_is_measurably_better(serve_script: Callable) -> None:
    serve_script(liking(better=False))
    blamed = judged(SLOW, c0=GOOD)
    assert blamed["candidates"]["c0"]["contested"] and select.choose(blamed, 0.0) == "c0"


def test_within_the_noise_the_critic_may_object_and_a_contested_one_must_wait(
    serve_script: Callable,
) -> None:
    near = View(motion(speed=0.425), sheet(140), STATS)
    serve_script(liking(better=False))
    assert select.choose(judged(GOOD, c0=near), 0.0) is None
    serve_script(liking(better=True))
    Path("scratch/calls").rename("scratch/other")
    assert select.choose(judged(GOOD, c0=near), 0.0) == "c0"
    serve_script(saying(closer="A"))
    Path("scratch/calls").rename("scratch/more")
    assert select.choose(judged(GOOD, c0=near), 0.0) is None


@pytest.mark.parametrize(
    "script",
    [
        lambda call: "I'm sorry, I can't judge people.",
        lambda call: "A is better!",
        saying(closer="C"),
        saying(wrong="x" * 5000, confidence=-1),
    ],
)
def test_without_an_answer_the_measure_stands_alone(
    serve_script: Callable, script: Callable
) -> None:
    serve_script(script)
    said = vlm.critique(critic(), WALKS, GOOD, SLOW, **BY)
    numbers = measured.critique(EXPERT, GOOD.motion, SLOW.motion, 0.03)
    assert said["verdict"] == "cannot_tell" and said["contested"]
    assert said["contested_because"][0].startswith("no answer: ")
    assert said["wrong"] == numbers["wrong"]
