"""No answer is paid for twice, and no limit of the budget is crossed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_helpers import ANSWER, GOOD, ask, new_chat, spent
from scripted_server import Refusal, Server, complaint, completion

from reelward.models import wire
from reelward.models.server import ready
from reelward.models.spend import Budget, SpendLog, Usage
from reelward.models.store import Store
from reelward.records import Message, Reply, Request
from reelward.runtime.errors import InputError, ResourceError

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


# --- the store --------------------------------------------------------------------------------


def test_the_same_question_is_sent_once(serve: Callable[..., Server]) -> None:
    server = serve()
    ask(pictures=2)
    ask(pictures=2)
    assert len(server.calls) == 1
    ask(pictures=1)
    ask(chat=new_chat(temperature=0.5), pictures=2)
    assert len(server.calls) == 3


def test_a_reply_is_stored_before_it_is_parsed(replies: Callable[..., Server]) -> None:
    server = replies(completion("no JSON"), completion(GOOD))
    assert ask().model_dump() == ANSWER
    assert ask().model_dump() == ANSWER  # both replies come from the store
    assert len(server.calls) == 2


def test_replay_answers_from_the_store_alone(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    ask("Line 1\nLine 2")
    monkeypatch.setenv("REELWARD_MODE", "replay")
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    ready("critic")
    assert ask("Line 1\nLine 2").model_dump() == ANSWER
    with pytest.raises(InputError, match=r"text line 2: recorded 'Line 2', now 'Line two'"):
        ask("Line 1\nLine two")
    assert len(server.calls) == 1
    monkeypatch.setenv("REELWARD_CALLS", "elsewhere")
    with pytest.raises(InputError, match="elsewhere has no answer to this call; it is empty"):
        ask()
    monkeypatch.setenv("REELWARD_MODE", "rerun")
    with pytest.raises(InputError, match="expected live or replay, got rerun"):
        ask()


def test_a_damaged_record_counts_as_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "calls", replay=False)
    request = Request(
        role="critic", model="m", answer="CritiqueAnswer", max_tokens=9, temperature=None, repeat=0,
        messages=(Message(role="user", text="Well?"),),
    )  # fmt: skip
    reply = Reply(
        text="yes", refusal=None, finish="stop", model="m", prompt_tokens=3, completion_tokens=None
    )
    store.keep(request, reply)
    assert store.reply(request) == reply
    (path,) = (tmp_path / "calls").iterdir()
    path.write_text(path.read_text().replace("yes", "no "))
    assert store.reply(request) is None
    path.write_text("{")
    assert store.reply(request) is None


# --- the budget -------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/calls", "/dev/full"])
def test_nothing_is_asked_that_could_not_be_kept(
    replies: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    Path("file").write_text("mine")
    monkeypatch.setenv("REELWARD_CALLS", folder)
    server = replies(completion(GOOD))
    with pytest.raises(ResourceError, match=rf"calls = {folder} \(REELWARD_CALLS"):
        ask()
    assert server.calls == [] and spent().calls == 0


def test_an_answer_counts_though_nothing_is_learned_from_it(
    replies: Callable[..., Server],
    capfd: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reelward.models.capabilities.CAPABILITIES", Path("/proc/servers.json"))
    server = replies(Refusal(400, complaint("no response_format json_schema")), completion(GOOD))
    assert ask().model_dump() == ask().model_dump()
    assert len(server.calls) == 2 and "not kept, scratch/servers.json" in capfd.readouterr().err


@pytest.mark.parametrize(("name", "limit", "more"), [("calls", 2, 3), ("tokens", 2600, 9000)])
def test_a_run_stops_before_a_limit_and_goes_on_with_a_higher_one(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, name: str, limit: int, more: int
) -> None:
    server = serve("vllm")  # 1200 tokens an answer
    monkeypatch.setenv(f"REELWARD_BUDGET_{name.upper()}", str(limit))
    with pytest.raises(ResourceError) as failed:
        for i in range(9):
            ask(f"Question {i}")
    assert failed.value.code == 5
    assert f"budget_{name}" in str(failed.value) and "REELWARD_BUDGET" in str(failed.value)
    before = len(server.calls)
    assert getattr(spent(), name) <= limit and 0 < before < 9
    monkeypatch.setenv(f"REELWARD_BUDGET_{name.upper()}", str(more))
    for i in range(before + 1):
        ask(f"Question {i}")
    assert len(server.calls) == before + 1


def test_money_is_counted_at_the_prices_of_the_user(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWARD_BUDGET_MONEY", "0.01")
    server = serve("vllm")
    with pytest.raises(InputError, match=r"prices: \{scripted: \[IN, OUT\]\}"):
        ask()
    Path("local.yaml").write_text("prices: {scripted: [2.0, 10.0]}\n")
    ask()  # 1000 tokens in at 2 and 200 out at 10 for a million: 0.004
    log = SpendLog(Path("scratch/spend.jsonl"), Budget.from_settings())
    assert log.spent() == (1, 1200, pytest.approx(0.004))
    with pytest.raises(ResourceError, match="budget_money: 0.004 of 0.01 spent"):
        ask("And? " * 2000)
    assert len(server.calls) == 1
    Path("local.yaml").write_text("prices: {scripted: cheap}\n")
    with pytest.raises(InputError, match="prices = .*expected .*MODEL"):
        Budget.from_settings()


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": None}])
def test_tokens_that_a_server_does_not_count_are_estimated_from_above(
    replies: Callable[..., Server], usage: Any
) -> None:
    replies(completion(GOOD, usage=usage))
    ask("word " * 400, pictures=2)
    # 400 words, a token each, and an answer of about one token for four characters.
    assert 400 + 2 * wire.PICTURE_TOKENS + len(GOOD) // 4 < spent().tokens < 6000


def test_an_attempt_that_never_ended_counts_with_the_most(tmp_path: Path) -> None:
    log = SpendLog(tmp_path / "spend.jsonl", Budget())
    first = log.begin("a", "m", Usage(100, 50))
    log.begin("b", "m", Usage(1000, 500))
    log.settle(first, Usage(90, 10))
    with open(log.path, "a") as f:
        f.write('\n{"attempt": "cut')  # a kill in the middle of a line
    third = log.begin("c", "m", Usage(1, 1))
    log.settle(third, Usage(0, 0))
    assert log.spent() == (3, 1600, 0.0)
