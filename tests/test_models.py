"""The chat call against servers of every manner, its store, its budget, and what a reply may be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openai
import pytest
from jinja2 import UndefinedError
from scripted_server import MODEL, Call, Refusal, Server, complaint, completion, drip, flood

from reelward.models import chat as chatting
from reelward.models.chat import Chat, NoAnswer
from reelward.models.prompts import render
from reelward.models.schemas import Critique, Described, Written, parse, plain
from reelward.models.server import Server as Address
from reelward.models.server import ready
from reelward.models.spend import Budget, Spend
from reelward.models.store import Store
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError

ROOT = Path(__file__).parents[1]
KEY = "sk-CANARY-3f9a1c77e0b24d"
ANSWER = {"description": "walks", "criteria": ["the trunk is upright"]}
GOOD = json.dumps(ANSWER)
SHEET = cv2.imencode(".jpg", np.full((448, 896, 3), 120, np.uint8))[1].tobytes()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the prompts, and an environment without settings."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "REELWARD_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REELWARD_RETRY_SECONDS", "0.01")
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "5")
    (tmp_path / "prompts").symlink_to(ROOT / "prompts")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts a server and makes it the one that is asked."""
    started: list[Server] = []

    def start(personality: str = "ollama", script: Any = lambda call: GOOD) -> Server:
        server = Server(personality, script, key=KEY if personality == "openai" else None)
        started.append(server.__enter__())
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        return server

    yield start
    for server in started:
        server.__exit__()


def chat(model: str = MODEL, temperature: float | None = None) -> Chat:
    return Chat("critic", model, max_tokens=500, temperature=temperature)


def ask(text: str = "What is it?", mind: Chat | None = None, pictures: int = 0) -> Described:
    mind = mind or chat()
    return mind.ask(Described, [mind.user(text, [SHEET] * pictures)])


def spent() -> dict[str, float]:
    return Spend(Path("scratch/spend.jsonl"), Budget()).spent()


class Saying:
    """A server's manner from a list of bodies and refusals, one a request; the last one stays."""

    def __init__(self, *turns: Any) -> None:
        self.turns = list(turns)

    def __call__(self, _: Call) -> Any:
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, Exception):
            raise turn
        return turn


@pytest.fixture
def says(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    def start(*turns: Any) -> Server:
        server = serve()
        monkeypatch.setattr(server, "as_ollama", Saying(*turns))
        return server

    return start


# --- manners ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("personality", "first", "shown"),
    [
        ("openai", 2, [(896, 448)] * 3),  # learns the name of the limit
        ("gemini", 2, [(896, 448)] * 3),  # learns to do without json_schema
        ("vllm", 2, [(896, 3 * 460)]),  # learns to join the pictures, each with 12 rows of black
        ("ollama", 1, [(896, 448)] * 3),
        ("flaky", 5, [(896, 448)] * 3),
    ],
)
def test_a_servers_manner_is_learned_once(
    serve: Callable[..., Server], personality: str, first: int, shown: list[tuple[int, int]]
) -> None:
    server = serve(personality)
    assert ask(pictures=3).model_dump() == ANSWER
    assert len(server.calls) == first and server.calls[-1].pictures == shown
    assert server.faults == []
    server.personality = "ollama" if personality == "flaky" else personality
    assert ask("And now?", pictures=3).model_dump() == ANSWER
    assert len(server.calls) == first + 1


def test_a_liar_gets_one_repair_turn_and_no_more(serve: Callable[..., Server]) -> None:
    server = serve("liar")
    mind = chat()
    with pytest.raises(NoAnswer, match="malformed: criteria: Input should be a valid list"):
        ask(mind=mind)
    assert len(server.calls) == 2
    assert "criteria: Input should be a valid list" in server.calls[1].texts[-1]
    assert mind.record()["answered_by"] == ["scripted-other"] and mind.record()["scripted"]
    assert spent()["tokens"] > 100  # it counted none


def test_another_models_answer_is_told(
    says: Callable[..., Server], capfd: pytest.CaptureFixture
) -> None:
    says(completion(GOOD, model="small-7b"))
    mind = chat()
    ask(mind=mind)
    assert "asked scripted, and small-7b answered" in capfd.readouterr().err
    assert not mind.record()["scripted"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("Unsupported value: 'temperature' does not support 0 with this model", "temperature"),
        ("response_format json_schema is not supported", "json_schema"),
    ],
)
def test_what_is_refused_by_name_is_left_out(
    says: Callable[..., Server], said: str, field: str
) -> None:
    server = says(Refusal(400, complaint(said)), completion(GOOD))
    ask(mind=chat(temperature=0.0))
    assert field in json.dumps(server.calls[0].body)
    assert field not in json.dumps(server.calls[1].body)


# --- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 501])
def test_what_is_final_is_said_once_in_the_servers_words(
    says: Callable[..., Server], status: int
) -> None:
    server = says(Refusal(status, complaint(f"No such thing; you sent {KEY}")))
    with pytest.raises(StageError) as failed:
        ask()
    assert failed.value.code == 2 and len(server.calls) == 1
    told = str(failed.value)
    assert f"{status}, No such thing; you sent ***" in told and "OPENAI_BASE_URL" in told
    assert ("OPENAI_API_KEY" in told) == (status in (401, 403))
    assert len(told.splitlines()) == 1


def test_a_wrong_name_of_a_model(serve: Callable[..., Server]) -> None:
    server = serve("ollama")
    with pytest.raises(InputError, match="The model `gpt-nine` does not exist"):
        ask(mind=chat("gpt-nine"))
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 529])
def test_what_may_pass_is_tried_again_and_then_is_the_networks(
    says: Callable[..., Server], status: int
) -> None:
    server = says(Refusal(status, complaint("Later")))
    with pytest.raises(NetworkError, match=f"{status}, Later"):
        ask()
    assert len(server.calls) == 1 + chatting.RETRIES
    assert spent()["calls"] == len(server.calls)


def test_the_wait_is_what_the_server_asks_for_within_reason(
    says: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(chatting.time, "sleep", waits.append)
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "100")
    late = [Refusal(429, complaint("x"), **{"Retry-After": wait}) for wait in ("7", "9000", "soon")]
    says(*late, completion(GOOD))
    ask()
    assert waits[:2] == [7.0, chatting.LONGEST_WAIT]
    assert 0.02 <= waits[2] <= 0.06  # the third backoff of 0.01 s, with jitter


def test_no_credit_left_is_final(says: Callable[..., Server]) -> None:
    broke = complaint("You exceeded your current quota", code="insufficient_quota")
    broke["error"]["code"] = "insufficient_quota"
    server = says(Refusal(429, broke))
    with pytest.raises(ResourceError, match="exceeded your current quota"):
        ask()
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/v1", "http://nowhere.invalid/v1", "https://127.0.0.1:PORT/v1"]
)
def test_no_server_names_address_and_variable(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    url = url.replace("PORT", str(serve().server_port))  # speaks no TLS
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    for attempt in (lambda: ready("critic"), ask):
        with pytest.raises(NetworkError) as failed:
            attempt()
        assert str(failed.value).startswith(f"{url} (OPENAI_BASE_URL)")
    assert spent()["calls"] == 1 + chatting.RETRIES


def test_silence_is_paid_for_and_asked_again_twice(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "0.3")
    server = serve("ollama", lambda call: time.sleep(1) or GOOD)
    with pytest.raises(NetworkError, match="no answer in time"):
        ask()
    assert 2 <= len(server.calls) <= 1 + chatting.TIMEOUTS
    assert spent()["tokens"] >= 500 * len(server.calls)


@pytest.mark.parametrize(("body", "why"), [(drip, "no answer in time"), (flood, "more than 4 MiB")])
def test_an_endless_answer_is_cut_off(
    says: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, body: Any, why: str
) -> None:
    monkeypatch.setenv("REELWARD_CALL_SECONDS", "0.5")
    says(body)
    begun = time.monotonic()
    with pytest.raises(NetworkError, match=why):
        ask()
    assert time.monotonic() - begun < 6


@pytest.mark.parametrize(
    "body",
    ["<html>Sign in</html>", "", complaint("oops"), {"choices": []}, {"choices": [{}]}, "[]"],
)
def test_no_completion_is_tried_once_more(says: Callable[..., Server], body: Any) -> None:
    server = says(body)
    with pytest.raises(NetworkError, match="expected a chat completion, got"):
        ask()
    assert len(server.calls) == 2
    says(body, completion(GOOD))
    assert ask("Again?").model_dump() == ANSWER


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_an_empty_answer_is_asked_for_once_more(
    says: Callable[..., Server], content: str | None
) -> None:
    server = says(completion(content))
    with pytest.raises(NoAnswer, match="empty"):
        ask()
    assert len(server.calls) == 2
    says(completion(content), completion(GOOD))
    assert ask("Again?").model_dump() == ANSWER


def test_a_cut_answer_is_never_read(says: Callable[..., Server]) -> None:
    server = says(completion(GOOD, finish="length"))
    with pytest.raises(NoAnswer, match="cut off at max_tokens"):
        ask()
    assert [c.body["max_tokens"] for c in server.calls] == [500, 1000]


@pytest.mark.parametrize(
    "turn",
    [
        completion(None, refusal="I can't help with that."),
        completion(GOOD, finish="content_filter"),
        completion("I'm sorry, but I can't look at pictures of people."),
    ],
)
def test_a_refusal_is_not_argued_with(says: Callable[..., Server], turn: Any) -> None:
    server = says(turn)
    with pytest.raises(NoAnswer, match="refused"):
        ask()
    assert len(server.calls) == 1


# --- what an answer may be --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Here it is: {GOOD} Good luck!",
        f"<think>Is {{this}} it?</think>{GOOD}",
        f"```\nnothing\n```\nand\n```json\n{GOOD}\n```",
        GOOD.replace("walks", "walks\nupright"),  # a bare line break inside a string
    ],
)
def test_an_answer_is_found_in_its_wrapping(text: str) -> None:
    assert parse(text, Described).description.startswith("walks")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"confidence": 1.5}, "confidence: .*less than or equal to 1"),
        ({"confidence": "high"}, "confidence: .*valid number"),
        ({"failure": "boredom"}, "failure: "),
        ({"reward": "x"}, "reward: Extra inputs"),
        ({"wrong": None}, "wrong: .*valid string"),
        ({"wrong": "他走路太慢而且身体前倾"}, "wrong: .*English"),
    ],
)
def test_nothing_beyond_the_schema_is_an_answer(change: dict[str, Any], why: str) -> None:
    sound = {
        "wrong": "slow", "rewrite": "speed", "remove": "", "add": "", "failure": "wrong_speed",
        "closer": "A", "confidence": 0.5,
    }  # fmt: skip
    assert parse(json.dumps(sound | {"confidence": 1}), Critique).closer == "A"
    with pytest.raises(ValueError, match=why):
        parse(json.dumps(sound | change), Critique)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"description": "a", "description": "b", "criteria": ["c"]}', "given twice"),
        ('{"description": NaN, "criteria": ["c"]}', "NaN is no JSON number"),
        ('{"description": "a", "criteria": ["c"],}', "double quotes"),
        ('{"description": "a"', "delimiter"),
        ("nothing", "no JSON object"),
        ("[1]", "no JSON object"),
    ],
)
def test_json_is_read_strictly(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text, Described)


def test_a_heading_is_one_line_that_cannot_leave_its_block() -> None:
    assert plain("a\n</critique> “b”—c\u202e", 300) == 'a (/critique) "b"-c'
    assert len(plain("x" * 999, 300)) == 300


def test_a_reward_without_json_is_still_a_reward() -> None:
    code = '"""Go."""\ndef reward(s):\n    return {"a": s.time}\n'
    found = parse(f"Sure:\n```python\n{code}```\nHave fun", Written)
    assert found.reward == code and found.note == "Go."
    with pytest.raises(ValueError):
        parse(f"```python\n{code}```\nor\n```python\n{code}```", Written)


@pytest.mark.parametrize("kind", [Critique, Described, Written])
def test_schemas_hold_what_every_server_knows(kind: Any) -> None:
    form = kind.form()
    assert set(form) == {"type", "properties", "required", "additionalProperties"}
    assert form["required"] == list(form["properties"]) and form["additionalProperties"] is False
    assert "$ref" not in json.dumps(form) and "maxLength" not in json.dumps(form)


# --- never paid twice -------------------------------------------------------------------------


def test_the_same_question_is_asked_once(serve: Callable[..., Server]) -> None:
    server = serve()
    ask(pictures=2)
    ask(pictures=2)
    assert len(server.calls) == 1
    ask(pictures=1)
    ask(mind=chat(temperature=0.5), pictures=2)
    assert len(server.calls) == 3


def test_replay_asks_nobody(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    ask("Line 1\nLine 2")
    monkeypatch.setenv("REELWARD_MODE", "replay")
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    ready("critic")
    assert ask("Line 1\nLine 2").model_dump() == ANSWER
    with pytest.raises(InputError, match=r"content line 2: recorded 'Line 2', now 'Line two'"):
        ask("Line 1\nLine two")
    assert len(server.calls) == 1
    monkeypatch.setenv("REELWARD_CALLS", "elsewhere")
    with pytest.raises(InputError, match="holds none at all"):
        ask()
    monkeypatch.setenv("REELWARD_MODE", "rerun")
    with pytest.raises(InputError, match="expected live or replay, got rerun"):
        ask()


def test_a_damaged_record_was_never_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "calls", replay=False)
    store.keep({"a": 1}, {"text": "yes"})
    assert store.reply({"a": 1}) == {"text": "yes"}
    (record,) = (tmp_path / "calls").iterdir()
    record.write_text(record.read_text().replace("yes", "no "))
    assert store.reply({"a": 1}) is None
    record.write_text("{")
    assert store.reply({"a": 1}) is None


@pytest.mark.parametrize(("name", "limit", "more"), [("calls", 2, 3), ("tokens", 2600, 9000)])
def test_the_run_stops_before_a_limit_and_goes_on_above_it(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, name: str, limit: int, more: int
) -> None:
    server = serve("vllm")  # 1200 tokens an answer
    monkeypatch.setenv(f"REELWARD_BUDGET_{name.upper()}", str(limit))
    with pytest.raises(ResourceError) as failed:
        for i in range(9):
            ask(f"Question {i}")
    assert failed.value.code == 5
    assert f"budget_{name}" in str(failed.value) and "REELWARD_BUDGET" in str(failed.value)
    asked = len(server.calls)
    assert spent()[name] <= limit and 0 < asked < 9
    monkeypatch.setenv(f"REELWARD_BUDGET_{name.upper()}", str(more))
    for i in range(asked + 1):
        ask(f"Question {i}")
    assert len(server.calls) == asked + 1


def test_money_is_counted_at_the_users_prices(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWARD_BUDGET_MONEY", "0.01")
    server = serve("vllm")
    with pytest.raises(InputError, match=r"prices: \{scripted: \[IN, OUT\]\}"):
        ask()
    Path("local.yaml").write_text("prices: {scripted: [2.0, 10.0]}\n")
    ask()  # 1000 tokens in at 2 and 200 out at 10 for a million: 0.004
    log = Spend(Path("scratch/spend.jsonl"), Budget.given())
    assert log.spent() == {"calls": 1, "tokens": 1200, "money": pytest.approx(0.004)}
    with pytest.raises(ResourceError, match="budget_money: 0.004 of 0.01 spent"):
        ask("And? " * 2000)
    assert len(server.calls) == 1
    Path("local.yaml").write_text("prices: {scripted: cheap}\n")
    with pytest.raises(InputError, match="prices = .*expected .*MODEL"):
        Budget.given()


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": None}])
def test_tokens_that_a_server_does_not_count_are_estimated_from_above(
    says: Callable[..., Server], usage: Any
) -> None:
    says(completion(GOOD, usage=usage))
    ask("word " * 400, pictures=2)
    # 400 words, a token each, and an answer of one token for four characters or so.
    assert 400 + 2 * chatting.PICTURE_TOKENS + len(GOOD) // 4 < spent()["tokens"] < 6000


def test_an_attempt_that_never_ended_counts_in_full(tmp_path: Path) -> None:
    log = Spend(tmp_path / "spend.jsonl", Budget())
    first = log.take("a", "m", (100, 50))
    log.take("b", "m", (1000, 500))
    log.settle(first, "a", "m", (90, 10))
    with open(log.path, "a") as f:
        f.write('\n{"attempt": "cut')  # a kill in the middle of a line
    third = log.take("c", "m", (1, 1))
    log.settle(third, "c", "m", (0, 0))
    assert log.spent() == {"calls": 3, "tokens": 1600, "money": 0.0}


# --- keys and addresses -----------------------------------------------------------------------


def test_no_key_names_the_variables_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for attempt in (lambda: ready("author"), ask):
        with pytest.raises(InputError) as failed:
            attempt()
        assert str(failed.value) == (
            "no key for https://api.openai.com/v1: set OPENAI_API_KEY, or OPENAI_BASE_URL to the "
            "address of another server"
        )
    assert not Path("scratch/spend.jsonl").exists()


def test_a_wrong_key_is_seen_before_any_work(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve("openai")
    ready("critic")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-key-altogether")
    with pytest.raises(InputError, match="401.*look at the key in OPENAI_API_KEY") as failed:
        ready("critic")
    assert "another" not in str(failed.value)
    assert server.calls == []


def test_each_role_may_have_its_server_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    Path("local.yaml").write_text("critic_server: http://localhost:8000/v1/\n")
    critic, author = Address.of("critic"), Address.of("author")
    assert (critic.url, critic.key_name) == ("http://localhost:8000/v1", "REELWARD_CRITIC_KEY")
    assert critic.key.get_secret_value() == ""  # OpenAI's key is not sent to another server
    assert (author.url, author.key.get_secret_value()) == ("https://api.openai.com/v1", KEY)
    assert KEY not in repr(author) and KEY not in str(author) and "***" in repr(author)


@pytest.mark.parametrize(
    "url",
    ["api.openai.com", "file:///etc/passwd", f"https://me:{KEY}@host/v1", f"https://h/v1?k={KEY}"],
)
def test_an_address_holds_no_secret(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(InputError, match="OPENAI_BASE_URL: expected an address") as failed:
        ask()
    assert KEY not in str(failed.value)


def test_an_echoed_key_reaches_no_file(says: Callable[..., Server], place: Path) -> None:
    says(completion(json.dumps(ANSWER | {"description": f"the key is {KEY}"}), model=KEY))
    mind = chat()
    assert ask(mind=mind).description == "the key is ***"
    assert KEY not in json.dumps(mind.record())
    written = [p for p in (place / "scratch").rglob("*") if p.is_file()]
    assert len(written) >= 2 and not [p for p in written if KEY in p.read_text()]


def test_the_package_is_asked_for_no_retries_of_its_own(serve: Callable[..., Server]) -> None:
    serve()
    client = Address.of("critic").connect(3.0)
    assert isinstance(client, openai.OpenAI) and client.max_retries == 0


def test_a_prompt_with_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="form"):
        render("repair", wrong="x")
