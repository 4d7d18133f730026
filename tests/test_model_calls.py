"""The chat call against servers of many kinds: what it learns, retries and gives up on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_helpers import ANSWER, GOOD, KEY, ask, new_chat, spent
from scripted_server import Refusal, Server, complaint, completion, drip, flood

from reelward.models import chat as chat_module
from reelward.models.capabilities import CAPABILITIES
from reelward.models.server import ready
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


# --- what a server can do ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("personality", "first", "pictures"),
    [
        ("openai", 2, [(896, 448)] * 3),  # learns the name of the limit
        ("gemini", 2, [(896, 448)] * 3),  # learns to do without json_schema
        ("vllm", 2, [(896, 3 * 460)]),  # learns to join the pictures, each with 12 rows of black
        ("ollama", 1, [(896, 448)] * 3),
        ("flaky", 5, [(896, 448)] * 3),
    ],
)
def test_the_capabilities_of_a_server_are_learned_once(
    serve: Callable[..., Server], personality: str, first: int, pictures: list[tuple[int, int]]
) -> None:
    server = serve(personality)
    assert ask(pictures=3).model_dump() == ANSWER
    assert len(server.calls) == first and server.calls[-1].pictures == pictures
    assert server.faults == []
    server.personality = "ollama" if personality == "flaky" else personality
    assert ask("And now?", pictures=3).model_dump() == ANSWER
    assert len(server.calls) == first + 1


def test_a_damaged_file_of_capabilities_is_learned_again(serve: Callable[..., Server]) -> None:
    server = serve("vllm")
    ask(pictures=2)
    CAPABILITIES.write_text('{"half a line')
    assert ask("And now?", pictures=2).model_dump() == ANSWER
    assert len(server.calls) == 2 + 2


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Unsupported value: 'temperature' does not support 0 with this model", "temperature"),
        ("response_format json_schema is not supported", "json_schema"),
    ],
)
def test_a_field_that_the_server_refuses_by_name_is_left_out(
    replies: Callable[..., Server], message: str, field: str
) -> None:
    server = replies(Refusal(400, complaint(message)), completion(GOOD))
    ask(chat=new_chat(temperature=0.0))
    assert field in json.dumps(server.calls[0].body)
    assert field not in json.dumps(server.calls[1].body)


def test_an_answer_of_another_model_is_reported(
    replies: Callable[..., Server], capfd: pytest.CaptureFixture
) -> None:
    replies(completion(GOOD, model="small-7b"))
    chat = new_chat()
    ask(chat=chat)
    assert "asked scripted, small-7b answered" in capfd.readouterr().err
    assert not chat.record().scripted


# --- what fails at once -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 501])
def test_a_final_error_is_reported_once_in_the_words_of_the_server(
    replies: Callable[..., Server], status: int
) -> None:
    server = replies(Refusal(status, complaint(f"No such thing; you sent {KEY}")))
    with pytest.raises(StageError) as failed:
        ask()
    assert failed.value.code == 2 and len(server.calls) == 1
    message = str(failed.value)
    assert f"{status}, No such thing; you sent ***" in message and "OPENAI_BASE_URL" in message
    assert ("OPENAI_API_KEY" in message) == (status in (401, 403))
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["{p} is too odd", "too odd is {p}", "{x}{p}: too odd", "too odd{x}"]
)
def test_the_cause_is_told_though_the_prompt_is_repeated(
    replies: Callable[..., Server], text: str
) -> None:
    prompt = "Take the image as a JSON of the context length. " * 100
    message = text.replace("{p}", prompt).replace("{x}", "x" * 20_000)
    server = replies(Refusal(400, complaint(message)))
    with pytest.raises(InputError, match="too odd"):
        ask(prompt)
    assert len(server.calls) == 1


def test_an_unknown_model_is_named(serve: Callable[..., Server]) -> None:
    server = serve("ollama")
    with pytest.raises(InputError, match="The model `gpt-nine` does not exist"):
        ask(chat=new_chat("gpt-nine"))
    assert len(server.calls) == 1


def test_no_credit_left_is_final(replies: Callable[..., Server]) -> None:
    error = complaint("You exceeded your current quota", code="insufficient_quota")
    server = replies(Refusal(429, error))
    with pytest.raises(ResourceError, match="exceeded your current quota"):
        ask()
    assert len(server.calls) == 1


# --- what is tried again ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 529])
def test_a_transient_error_is_retried_and_then_a_network_error(
    replies: Callable[..., Server], status: int
) -> None:
    server = replies(Refusal(status, complaint("Later")))
    with pytest.raises(NetworkError, match=f"{status}, Later"):
        ask()
    assert len(server.calls) == 1 + chat_module.RETRIES
    assert spent().calls == len(server.calls)


def test_no_attempt_begins_after_three_times_the_time_of_one(
    replies: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "10")
    server = replies(Refusal(503, complaint("Busy"), **{"Retry-After": "31"}))
    begin = time.monotonic()
    with pytest.raises(NetworkError, match="503, Busy"):
        ask()
    assert len(server.calls) == 1 and time.monotonic() - begin < 25


def test_a_server_that_names_no_wait_is_not_pressed(
    replies: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWARD_RETRY_SECONDS", "0.1")
    server = replies(Refusal(429, complaint("Busy"), **{"Retry-After": "0"}))
    begin = time.monotonic()
    with pytest.raises(NetworkError, match="429, Busy"):
        ask()
    assert len(server.calls) == 1 + chat_module.RETRIES
    assert time.monotonic() - begin > 0.5 * (0.1 + 0.2 + 0.4 + 0.8)


def test_a_context_that_fits_nothing_is_left_soon(replies: Callable[..., Server]) -> None:
    """It asks for one token less each time."""
    tokens = iter(range(499, 400, -1))

    class Context:
        def __call__(self, handler: Any) -> None:
            n = next(tokens)
            text = f"maximum context length is {1000 + n} tokens, your prompt has 1000 tokens"
            handler.send(400, complaint(text))

    server = replies(Context())
    with pytest.raises(InputError, match="a larger context"):
        ask()
    assert len(server.calls) <= 4


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/v1", "http://nowhere.invalid/v1", "https://127.0.0.1:PORT/v1"]
)
def test_an_unreachable_server_is_named_with_its_setting(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    url = url.replace("PORT", str(serve().server_port))  # it speaks no TLS
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    for attempt in (lambda: ready("critic"), ask):
        with pytest.raises(NetworkError) as failed:
            attempt()
        assert str(failed.value).startswith(f"{url} (OPENAI_BASE_URL)")
    assert spent().calls == 1 + chat_module.RETRIES


def test_a_timeout_is_paid_for_and_retried_twice(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "0.6")
    server = serve("ollama", lambda call: time.sleep(2) or GOOD)
    with pytest.raises(
        NetworkError, match=r"in time, call_seconds = 0\.6; .* REELWARD_CALL_SECONDS"
    ):
        ask()
    assert 2 <= len(server.calls) <= 3
    assert spent().tokens >= 500 * len(server.calls)


@pytest.mark.parametrize(("body", "why"), [(drip, "no answer in time"), (flood, "more than 4 MiB")])
def test_an_endless_answer_is_cut_off(
    replies: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, body: Any, why: str
) -> None:
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "0.5")
    replies(body)
    begin = time.monotonic()
    with pytest.raises(NetworkError, match=why):
        ask()
    assert time.monotonic() - begin < 15  # uncut it takes 20 s


@pytest.mark.parametrize(
    "body",
    [
        "<html>Sign in</html>",
        "",
        {"choices": [{}]},
        "[]",
        '{"choices":' * 100_000,
    ],  # fmt: skip
    ids=["html", "empty", "no message", "list", "nested"],
)
def test_a_body_that_is_no_completion_is_retried_once(
    replies: Callable[..., Server], body: Any
) -> None:
    server = replies(body)
    with pytest.raises(NetworkError, match="expected a chat completion, got"):
        ask()
    assert len(server.calls) == 2
    replies(body, completion(GOOD))
    assert ask("Again?").model_dump() == ANSWER


def test_a_stage_checks_its_server_before_any_work(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve("openai")
    ready("critic")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-key-altogether")
    with pytest.raises(InputError, match="401.*check the key in OPENAI_API_KEY") as failed:
        ready("critic")
    assert "another" not in str(failed.value)
    assert server.calls == [] and not Path("scratch/spend.jsonl").exists()
