"""What an answer may be: found in its wrapping, held to its schema, asked for once more at most."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from jinja2 import UndefinedError
from model_helpers import ANSWER, GOOD, ask, new_chat, spent
from scripted_server import Server, completion

from reelward.models.chat import NoAnswer
from reelward.models.prompts import render
from reelward.models.schemas import CritiqueAnswer, DescriptionAnswer, RewardAnswer, parse, plain

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


# --- bad replies ------------------------------------------------------------------------------


def test_a_malformed_answer_is_sent_back_once(serve: Callable[..., Server]) -> None:
    server = serve("liar")
    chat = new_chat()
    with pytest.raises(NoAnswer, match="malformed: criteria: Input should be a valid list"):
        ask(chat=chat)
    assert len(server.calls) == 2
    assert "criteria: Input should be a valid list" in server.calls[1].texts[-1]
    calls = chat.record()
    assert calls.answered_by == ("scripted-other",) and calls.scripted
    assert spent().tokens > 100  # it counted none


def test_an_odd_reply_is_stored_and_read(replies: Callable[..., Server]) -> None:
    """Half a character, which JSON may hold, and an absurd number of tokens."""
    usage = {"prompt_tokens": 10**400, "completion_tokens": True}
    odd = GOOD.replace("walks", "walks \ud83d on")
    server = replies(completion(odd, model="scripted-\ud83d", usage=usage))
    assert ask().description == ask().description == "walks ? on"
    assert len(server.calls) == 1 and spent().tokens < 10_000


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_an_empty_answer_is_asked_for_once_more(
    replies: Callable[..., Server], content: str | None
) -> None:
    server = replies(completion(content))
    with pytest.raises(NoAnswer, match="empty"):
        ask()
    assert len(server.calls) == 2
    replies(completion(content), completion(GOOD))
    assert ask("Again?").model_dump() == ANSWER


REWARD = "def reward(s):\n    return {'a': s.time}\n"


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (DescriptionAnswer, GOOD + "\n" * 400),
        (DescriptionAnswer, f"```json\n{GOOD}\n```\nThis says that the"),
        (DescriptionAnswer, f"I look at {{x}}.\n```json\n{GOOD}\n```\nThe set {{a, b"),
        (RewardAnswer, json.dumps({"note": "n", "reward": REWARD}) + " It gives {'a': s.ti"),
        (RewardAnswer, f"```python\n{REWARD}```\nIt gives"),
    ],
)
def test_a_whole_answer_is_used_though_the_reply_is_cut(
    replies: Callable[..., Server], schema: Any, text: str
) -> None:
    server = replies(completion(text, finish="length"))
    chat = new_chat()
    assert chat.ask(schema, [chat.user("x")]) and len(server.calls) == 1


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (DescriptionAnswer, GOOD[:-1]),
        (DescriptionAnswer, GOOD[:-3]),
        (DescriptionAnswer, f"{GOOD}\nOr better:\n{GOOD[:20]}"),
        (DescriptionAnswer, f"{GOOD}\nOr better:\n{{"),
        (DescriptionAnswer, f"<think>{GOOD}\n"),
        (DescriptionAnswer, '{"description": "a"}'),
        (RewardAnswer, f"```python\n{REWARD}"),
        (RewardAnswer, f"```python\n{REWARD}```\n```python\n{REWARD}"),
        (RewardAnswer, json.dumps({"note": "n", "reward": REWARD})[:-2]),
    ],
)
def test_a_cut_answer_is_never_used(replies: Callable[..., Server], schema: Any, text: str) -> None:
    server = replies(completion(text, finish="length"))
    chat = new_chat()
    with pytest.raises(NoAnswer, match="cut off at max_tokens"):
        chat.ask(schema, [chat.user("x")])
    assert len(server.calls) == 2


def test_a_cut_answer_is_asked_for_with_twice_the_room(replies: Callable[..., Server]) -> None:
    server = replies(completion(GOOD[:-1], finish="length"))
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
def test_a_refusal_is_accepted_at_once(replies: Callable[..., Server], turn: Any) -> None:
    server = replies(turn)
    with pytest.raises(NoAnswer, match="refused"):
        ask()
    assert len(server.calls) == 1


# --- parsing ----------------------------------------------------------------------------------


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
    assert parse(text, DescriptionAnswer).description.startswith("walks")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"confidence": 1.5}, "confidence: .*less than or equal to 1"),
        ({"confidence": "high"}, "confidence: .*valid number"),
        ({"failure": "boredom"}, "failure: "),
        ({"closer": "C"}, "closer: "),
        ({"wrong": None}, "wrong: .*valid string"),
        ({"wrong": "\x1b\x07"}, "wrong: .*printable"),
    ],
)
def test_what_the_code_acts_on_is_held_to_the_schema(change: dict[str, Any], why: str) -> None:
    valid = {
        "wrong": "slow", "rewrite": "speed", "remove": "", "add": "", "failure": "wrong_speed",
        "closer": "A", "confidence": 0.5,
    }  # fmt: skip
    assert parse(json.dumps(valid | {"confidence": 1}), CritiqueAnswer).closer == "A"
    other = {"failure": "Stands still", "closer": "Robot B", "confidence": "85 %"}
    answer = parse(json.dumps(valid | other), CritiqueAnswer)
    assert (answer.failure, answer.closer, answer.confidence) == ("stands_still", "B", 0.85)
    with pytest.raises(ValueError, match=why):
        parse(json.dumps(valid | change), CritiqueAnswer)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"description": "a", "description": "b", "criteria": ["c"]}', "given twice"),
        ('{"description": NaN, "criteria": ["c"]}', "NaN is no JSON number"),
        ('{"description": "a", "criteria": ["c"],}', "double quotes"),
        ('{"description": "a"', "delimiter"),
        ("nothing", "no JSON object"),
        ('{"criteria":' * 100_000, "recursion"),
        ("[1]", "no JSON object"),
    ],
)
def test_json_is_parsed_strictly(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text, DescriptionAnswer)


def test_a_text_is_one_line_that_cannot_leave_its_block() -> None:
    assert plain("a\n</critique> “b”—c\u202e", 300) == 'a (/critique) "b"-c'
    assert len(plain("x" * 999, 300)) == 300


def test_half_a_character_in_a_reward_is_malformed() -> None:
    with pytest.raises(ValueError, match="reward: .*half of one"):
        parse('{"note": "n", "reward": "\\ud83d"}', RewardAnswer)


@pytest.mark.parametrize("name", ["\\ud83d", "\\u0000", "\\u001b[31m", "x" * 9999])
def test_a_complaint_about_odd_keys_can_be_sent_back(
    replies: Callable[..., Server], name: str
) -> None:
    odd = GOOD[:-1] + f', "{name}": 1, "{name}": 2}}'
    server = replies(completion(odd), completion(GOOD))
    assert ask().model_dump() == ANSWER
    complaint = server.calls[1].texts[-1]
    assert complaint.isascii() and "\0" not in complaint and "\x1b" not in complaint


@pytest.mark.parametrize(
    ("note", "kept"),
    [
        ({}, "no note"),
        ({"note": None}, "no note"),
        ({"note": ""}, "no note"),
        ({"note": 7}, "no note"),
        ({"note": ["a", "b"]}, "a b"),
        ({"note": "提高速度 <b>"}, "提高速度 (b)"),
        ({"note": "Größer\u2028\x1b[31m\u202e"}, "Größer [31m"),
        ({"note": "n", "reasoning": "I think", "confidence": 1}, "n"),
    ],
)
def test_a_reward_is_not_lost_for_what_is_said_about_it(note: dict[str, Any], kept: str) -> None:
    answer = parse(json.dumps(note | {"reward": REWARD}), RewardAnswer)
    assert (answer.note, answer.reward) == (kept, REWARD)


def test_words_in_any_language_and_other_keys_are_kept_or_dropped() -> None:
    words = {"description": "他走路", "criteria": ["тело прямо"], "reasoning": "x"}
    answer = parse(json.dumps(words), DescriptionAnswer)
    assert answer.model_dump() == {"description": "他走路", "criteria": ["тело прямо"]}


def test_a_reward_without_json_is_accepted() -> None:
    code = '"""Go."""\ndef reward(s):\n    return {"a": s.time}\n'
    answer = parse(f"Sure:\n```python\n{code}```\nHave fun", RewardAnswer)
    assert answer.reward == code and answer.note == "Go."
    lines = json.dumps({"note": "n", "reward": code.splitlines()})
    assert parse(lines, RewardAnswer).reward == code.rstrip("\n")
    with pytest.raises(ValueError):
        parse(f"```python\n{code}```\nor\n```python\n{code}```", RewardAnswer)


# --- schemas and prompts ----------------------------------------------------------------------


@pytest.mark.parametrize("schema", [CritiqueAnswer, DescriptionAnswer, RewardAnswer])
def test_schemas_use_only_what_every_server_knows(schema: Any) -> None:
    form = schema.form()
    assert set(form) == {"type", "properties", "required", "additionalProperties"}
    assert form["required"] == list(form["properties"]) and form["additionalProperties"] is False
    assert "$ref" not in json.dumps(form) and "maxLength" not in json.dumps(form)


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (DescriptionAnswer, {"description": "", "criteria": [""]}),
        (CritiqueAnswer, {name: "" for name in ("wrong", "rewrite", "remove", "add")}
         | {"failure": "none", "closer": "A", "confidence": 0.5}),
        (RewardAnswer, {"note": "", "reward": "x"}),
    ],
)  # fmt: skip
def test_every_length_is_stated_before_it_is_enforced(schema: Any, values: dict[str, Any]) -> None:
    """A text of the length in the form is kept whole, a longer one is cut and ends in dots."""
    lengths = 0
    for name, field in schema.form()["properties"].items():
        stated = re.search(r"at most (\d+) characters", field["description"])
        if stated is None:
            continue
        lengths += 1
        for extra in (0, 1):
            long = "x" * (int(stated[1]) + extra)
            value = [long] if isinstance(values[name], list) else long
            kept = getattr(parse(json.dumps(values | {name: value}), schema), name)
            assert (kept == value) == (extra == 0)
            assert str(kept).strip("[]'").endswith("..." if extra else "x")
    assert lengths == {DescriptionAnswer: 2, CritiqueAnswer: 4, RewardAnswer: 1}[schema]


def test_a_prompt_with_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="form"):
        render("repair", wrong="x")
