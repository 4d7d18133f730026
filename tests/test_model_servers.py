"""What servers do to a call: limits, waits, blindness, wrong names, proxies, odd connections."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_helpers import ANSWER, GOOD, ask, new_chat
from scripted_server import MODEL, Call, Refusal, Server, complaint, completion

from reelward.models import chat as chat_module
from reelward.models.capabilities import CAPABILITIES
from reelward.models.chat import NoAnswer
from reelward.models.server import Server as Address
from reelward.records import Exchange
from reelward.runtime.errors import InputError, ResourceError

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, in s; none takes any time."""
    waits: list[float] = []
    monkeypatch.setattr(chat_module, "_pause", lambda wait, why: waits.append(wait))
    return waits


def limit(most: int, words: str) -> Callable[[Call], Any]:
    """A server that allows so many tokens."""

    def respond(call: Call) -> Any:
        if call.body["max_tokens"] > most:
            raise Refusal(400, complaint(words))
        return completion(GOOD)

    return respond


# --- limits -----------------------------------------------------------------------------------


def test_a_limit_that_the_server_names_is_taken_told_and_remembered(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    server = serve()
    monkeypatch.setattr(server, "as_ollama", limit(300, "max_tokens must be from 1 to 300"))
    assert ask().model_dump() == ANSWER
    assert [call.body["max_tokens"] for call in server.calls] == [500, 300]
    assert "writes at most 300 tokens; kept in scratch/servers.json" in capfd.readouterr().err
    ask("And now?")
    assert server.calls[-1].body["max_tokens"] == 300 and len(server.calls) == 3
    assert capfd.readouterr().err == ""


def test_an_answer_that_is_cut_and_capped_is_lost_alone(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(call: Call) -> Any:
        limit(600, "max_tokens must be from 1 to 600")(call)
        cut = "one" in call.first
        return completion(GOOD[:20] if cut else GOOD, finish="length" if cut else "stop")

    server = serve()
    monkeypatch.setattr(server, "as_ollama", respond)
    with pytest.raises(NoAnswer, match="cut off at max_tokens, twice"):
        ask("one")
    assert [call.body["max_tokens"] for call in server.calls] == [500, 1000, 600]
    assert ask("two").model_dump() == ANSWER


def test_a_limit_that_is_never_low_enough_ends(replies: Callable[..., Server]) -> None:
    server = replies(Refusal(400, complaint("max_tokens is too large")))
    with pytest.raises(InputError, match="max_tokens is too large"):
        ask()
    assert len(server.calls) == 1 and not CAPABILITIES.exists()  # 250 tokens are of no use


def test_a_conversation_that_is_too_long_is_lost_alone(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(call: Call) -> Any:
        if len(call.body["messages"]) > 1:
            raise Refusal(400, complaint("prompt is too long: 9000 tokens > 8192 maximum"))
        return completion("no answer")

    server = serve()
    monkeypatch.setattr(server, "as_ollama", respond)
    with pytest.raises(NoAnswer, match="too long: prompt is too long: 9000"):
        ask()


def test_a_prompt_that_is_too_long_is_a_matter_of_the_server(
    replies: Callable[..., Server],
) -> None:
    replies(Refusal(400, complaint("prompt is too long: 9000 tokens > 8192 maximum")))
    with pytest.raises(InputError, match="9000 tokens > 8192 maximum; give it a larger context"):
        ask()


def test_pictures_shrink_until_the_server_takes_them(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(call: Call) -> Any:
        if max(map(max, call.pictures)) > 500:
            raise Refusal(413, "<html><title>413 Request Entity Too Large</title></html>")
        return completion(GOOD)

    server = serve()
    monkeypatch.setattr(server, "as_ollama", respond)
    ask(pictures=3)
    assert server.calls[-1].pictures == [(448, 224)] * 3 and len(server.calls) == 2
    ask("And now?", pictures=1)
    assert server.calls[-1].pictures == [(448, 224)] and len(server.calls) == 3


def test_what_was_tried_in_vain_is_not_remembered(replies: Callable[..., Server]) -> None:
    replies(Refusal(400, complaint("cannot read this JSON")))
    with pytest.raises(InputError, match="cannot read this JSON"):
        ask()
    assert not CAPABILITIES.exists()


def test_a_server_that_answers_in_a_stream_only_is_asked_for_one(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(call: Call) -> Any:
        if not call.body.get("stream"):
            raise Refusal(400, complaint("This model only supports stream mode"))
        event = {"choices": [{"delta": {"content": GOOD}, "finish_reason": "stop"}]}
        return f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"

    server = serve()
    monkeypatch.setattr(server, "as_ollama", respond)
    assert ask().model_dump() == ANSWER
    assert [call.body.get("stream") for call in server.calls] == [None, True]


# --- pictures, prompts, names -------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_model_without_eyes_is_named_at_once(replies: Callable[..., Server], status: int) -> None:
    server = replies(Refusal(status, complaint("No endpoint supports image input")))
    with pytest.raises(InputError, match="this model takes no pictures.*model scripted"):
        ask(pictures=3)
    assert len(server.calls) == 1 and not CAPABILITIES.exists()


def test_a_prompt_that_the_server_cut_is_seen(
    replies: Callable[..., Server], capfd: pytest.CaptureFixture
) -> None:
    """Ollama reads half of its context, answers, and counts what it read."""
    usage = {"prompt_tokens": 2051, "completion_tokens": 20}
    replies(completion(GOOD, usage=usage), completion("What is the question?", usage=usage))
    chat = new_chat()
    long = "walk on " * 2500
    assert ask(long, chat).model_dump() == ANSWER
    assert "read 2051 tokens of a prompt of more than 4000: give it a" in capfd.readouterr().err
    with pytest.raises(NoAnswer, match=r"malformed.*read 2051 tokens of a prompt of up to \d+"):
        ask(long + "?", chat)
    assert capfd.readouterr().err == ""  # told once


def test_an_unknown_model_is_told_with_those_that_are_served(serve: Callable[..., Server]) -> None:
    serve("ollama")
    with pytest.raises(InputError, match=r"`gpt-nine` does not exist; it serves scripted$"):
        ask(chat=new_chat("gpt-nine"))


@pytest.mark.parametrize("body", ["404 page not found", {"detail": "Not Found"}])
def test_a_wrong_address_is_asked_about(replies: Callable[..., Server], body: Any) -> None:
    replies(Refusal(404, body))
    with pytest.raises(InputError, match="(?i)404, .*not found; is the address right"):
        ask()


def test_the_whole_address_of_the_call_may_be_given(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/chat/completions/")
    assert Address.of("critic").url == server.url


def test_a_redirection_names_the_address(replies: Callable[..., Server]) -> None:
    server = replies(Refusal(308, "", Location="https://new.example/v1/chat/completions"))
    with pytest.raises(InputError, match="308, a redirection to https://new.example/v1/chat"):
        ask()
    assert len(server.calls) == 1


# --- waits --------------------------------------------------------------------------------------


def test_a_wait_that_the_server_names_is_kept(
    replies: Callable[..., Server], waits: list[float]
) -> None:
    late = [
        Refusal(429, complaint("Out of requests for this minute. Ask again in 39.5s.")),
        Refusal(503, complaint("Busy"), **{"Retry-After": "7"}),
        Refusal(429, complaint("x"), **{"Retry-After": "soon"}),
    ]
    replies(*late, completion(GOOD))
    assert ask().model_dump() == ANSWER
    assert waits[:2] == [39.5, 7.0]
    assert 0.02 <= waits[2] <= 0.06  # the third backoff of 0.01 s, with jitter


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (
            Refusal(429, complaint("x"), **{"Retry-After": "9000"}),
            "429, x; free again in 2 h 30 min",
        ),
        (Refusal(429, complaint("requests per day: try again in 20s")), "per day.*in 0 min"),
        (Refusal(402, complaint("no credit left")), "402, no credit left"),
        (Refusal(503, complaint("Maintenance, retry in 3 hours")), "free again in 3 h 0 min"),
    ],
)
def test_a_wait_that_is_too_long_is_told_at_once(
    replies: Callable[..., Server], waits: list[float], refusal: Refusal, why: str
) -> None:
    server = replies(refusal)
    with pytest.raises(ResourceError, match=why):
        ask()
    assert len(server.calls) == 1 and waits == []


def test_a_long_wait_is_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(chat_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(chat_module.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    chat_module._pause(25.0, "429, slow down")
    assert now == [25.0]
    assert capfd.readouterr().err.splitlines() == [
        "reelward: waiting 25 s, 429, slow down",
        "reelward: 15 s left to wait",
        "reelward: 5 s left to wait",
    ]


# --- the store ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"description":' * 50_000,
        json.dumps(ANSWER | {"description": "\ud83d"}),
        '{"description": NaN, "criteria": ["a"]}',
        json.dumps({"description": "\0" * 9, "criteria": []}),
        "\0",
    ],
    ids=["nested", "surrogate", "nan", "nul", "bare nul"],
)
def test_a_reply_that_cannot_be_used_is_asked_for_anew_and_replayed(
    replies: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    replies(completion(text))
    for _ in range(2):
        with pytest.raises(NoAnswer):
            ask()
    monkeypatch.setenv("REELWARD_MODE", "replay")
    with pytest.raises(NoAnswer, match="malformed|empty"):
        ask()
    monkeypatch.setenv("REELWARD_MODE", "live")
    server = replies(completion(GOOD))
    assert ask().model_dump() == ask().model_dump() == ANSWER
    assert len(server.calls) == 1
    for path in Path("scratch/calls").iterdir():
        Exchange.model_validate_json(path.read_bytes(), extra="ignore")


def test_another_name_of_the_model_is_told_once(
    replies: Callable[..., Server], capfd: pytest.CaptureFixture
) -> None:
    replies(completion(GOOD, model="other"))
    chat = new_chat(MODEL)
    for question in ("one", "two"):
        ask(question, chat)
    assert capfd.readouterr().err.count("asked scripted, other answered") == 1
