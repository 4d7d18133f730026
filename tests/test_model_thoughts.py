"""What a model thinks is never its answer, and the answer is found wherever a server puts it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from model_helpers import ANSWER, GOOD, ask, new_chat
from scripted_server import Server, completion

from reelward.models.chat import NoAnswer
from reelward.models.schemas import DescriptionAnswer, RewardAnswer, parse
from reelward.models.thoughts import without_thoughts

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")

DRAFT = json.dumps({"description": "a draft", "criteria": ["none"]})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<think>{d}</think>\n", ""),
        ("{d}</think>", ""),  # the chat template holds the opening mark
        ("I see {{x}}.\n{d}\n</think>\n\n```json\n", "\n```"),
        ("<think>I close </think> with a mark. {{x}}</think>", ""),
        ("<THINK >{d}</THINK>", ""),
        ("<thinking>{d}</thinking>", ""),
        ("<thought>{d}</thought>", ""),
        ("<reasoning>{d}</reasoning>", ""),
        ("<seed:think>{d}</seed:think>", ""),
        ("[THINK]{d}[/THINK]", ""),
        ("◁think▷{d}◁/think▷", ""),
        ("<|START_THINKING|>{d}<|END_THINKING|><|START_RESPONSE|>", "<|END_RESPONSE|>"),
        ("<|begin_of_thought|>{d}<|end_of_thought|>", ""),
        ("<|channel|>analysis<|message|>{d}<|end|><|start|>assistant<|channel|>final<|message|>",
         "<|return|>"),
        ("<|channel|>analysis<|message|>{d}<|end|><|channel|>final <|constrain|>json<|message|>", ""),
        ("analysisWe need {d} so.assistantfinal", ""),
        ("<|channel>thought\n{d}<channel|>", ""),
        ("", "<think>or rather {d}</think>"),
        ("", "\n<think>or rather {d}"),  # cut off
        ("<think>a</think><answer>", "</answer>"),
        ('<details type="reasoning" done="true" duration="3">\n{d}\n</details>\n', ""),
        ("<details type='reasoning'>\n> <think>a</think>{d}</details><details>", "</details>"),
        ("<details>\n<summary>Thought for 3 s</summary>\n{d}</details>\n", ""),
        ("<details><summary>The answer</summary>", "</details>"),
        ('<think id="1" hidden="">{d}</think>', ""),
        ("**Thinking...** {d} so\n\n**...done thinking.**\n", ""),
        ("Thinking...\n{d}\n...done thinking.\n\n", ""),
        ("{d}\n…done thinking.\n", ""),
        ("```thinking\n{d}\n```\n", ""),
        ("```json\n", "\n```\n```thinking\n{d}\n```"),
        ("<think>a</think>Then:\n<think>{d}</think>\n", "</s>"),
    ],
)  # fmt: skip
def test_thoughts_are_no_answer(before: str, after: str) -> None:
    text = before.replace("{d}", DRAFT) + GOOD + after.replace("{d}", DRAFT)
    assert parse(text, DescriptionAnswer).description == "walks"


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{DRAFT}",
        f"{DRAFT}\n</think>\n",
        f"<think>{DRAFT}</think>",
        f'<details type="reasoning" done="false">{DRAFT}',
        f"Thinking...\n{DRAFT}",
        f"```thinking\n{DRAFT}\n```",
    ],
)
def test_thoughts_alone_are_no_answer(replies: Callable[..., Server], text: str) -> None:
    assert without_thoughts(text) == ""
    server = replies(completion(text))
    with pytest.raises(NoAnswer, match="thoughts without an answer"):
        ask()
    assert len(server.calls) == 2


def test_a_mark_inside_an_answer_is_part_of_it() -> None:
    code = "def reward(s):  # </think> is no mark here\n    return {'a': s.time}\n"
    assert parse(json.dumps({"note": "n", "reward": code}), RewardAnswer).reward == code


def test_a_draft_of_a_reward_in_thoughts_is_not_taken() -> None:
    draft = "```python\ndef reward(s):\n    return {'a': s.time}\n```\n"
    with pytest.raises(ValueError, match="no JSON"):
        parse(f"{draft}</think>\nSee above.", RewardAnswer)
    assert (
        "2 * s.time"
        in parse(f"{draft}</think>{draft.replace('s.time', '2 * s.time')}", RewardAnswer).reward
    )


@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "</think>",
        "{",
        "<",
        "```\n",
        '{"a":',
        "[/THINK]",
        "x",
        "<details ",
        "Thinking...",
        "</details>",
        "<details type=reasoning>",
        "...done thinking",
        "**",
        "```thinking\n",
        "<think a=",
    ],
)
def test_half_a_megabyte_of_thoughts_takes_no_time(piece: str) -> None:
    text = piece * (512_000 // len(piece))
    begin = time.process_time()
    without_thoughts(text)
    with pytest.raises(ValueError):
        parse(text, RewardAnswer)
    assert parse(f"<think>{text.replace('think', 'so')}</think>{GOOD}", DescriptionAnswer)
    assert time.process_time() - begin < 5  # a quadratic search takes minutes


def message(**fields: Any) -> dict[str, Any]:
    """A completion whose message has these fields."""
    body = completion(None)
    body["choices"][0]["message"] |= fields
    return body


TOOL = {"type": "function", "function": {"name": "answer", "arguments": GOOD}}
PARTS = [{"type": "thinking", "thinking": DRAFT, "text": DRAFT}, {"type": "text", "text": GOOD[:9]},
         {"type": "output_text", "text": {"value": GOOD[9:]}}]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        message(content=GOOD, reasoning_content=DRAFT),
        message(content=GOOD, reasoning=DRAFT, thinking=DRAFT),
        message(content=PARTS),
        message(content={"type": "text", "text": GOOD}),
        message(content=ANSWER),
        message(content="", tool_calls=[TOOL]),
        message(tool_calls=[{"function": {"name": "json", "arguments": ANSWER}}]),
        message(function_call={"name": "answer", "arguments": GOOD}),
        message(reasoning_content=GOOD),
        message(content="", reasoning=f"```json\n{GOOD}\n```"),
        {"choices": [{"text": GOOD, "finish_reason": "stop"}]},
        [completion(GOOD)],
        completion(f"[{GOOD}]"),
        completion(f"```json\n{GOOD}"),  # a fence that is never closed
        completion(f"\ufeff{GOOD}"),
        completion(f"First {DRAFT}, but better {GOOD}."),
        completion(f"\\boxed{{{GOOD}}}"),
        completion(json.dumps(GOOD)),  # JSON in a JSON string
        completion(json.dumps({"type": "object", "properties": ANSWER})),
        completion(json.dumps({"name": "answer", "arguments": ANSWER})),
        completion(json.dumps([{"DescriptionAnswer": ANSWER}])),
        completion(GOOD, usage={"prompt_tokens": 1000.0, "completion_tokens": "5"}),
        completion(GOOD, usage=[], model=None, finish="eos"),
        "\ufeff" + json.dumps(completion(GOOD)),
        "\n \n" + json.dumps(completion(GOOD, finish=None)),
    ],
)
def test_an_answer_is_found_wherever_a_server_puts_it(
    replies: Callable[..., Server], body: Any
) -> None:
    server = replies(body)
    assert ask().model_dump() == ANSWER
    assert len(server.calls) == 1


def test_thoughts_in_a_field_of_their_own_are_no_answer(replies: Callable[..., Server]) -> None:
    """A draft among other thoughts; the server has put all that the model wrote into the field."""
    replies(message(content=None, reasoning_content=f"Maybe {DRAFT}? No."))
    with pytest.raises(NoAnswer, match="thoughts without an answer"):
        ask()


def events(*deltas: Any, end: str = "data: [DONE]\n\n", finish: str | None = "stop") -> str:
    """A stream of events, a delta each."""
    pieces = [{"model": "scripted", "choices": [{"delta": delta}]} for delta in deltas]
    pieces[-1]["choices"][0]["finish_reason"] = finish
    pieces.append({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 5}})
    lines = "".join(f": wait\n\nevent: x\ndata: {json.dumps(piece)}\n\n" for piece in pieces)
    return lines + end


STREAM = events(
    {"role": "assistant", "reasoning": DRAFT}, {"content": GOOD[:7]}, {"content": GOOD[7:]}
)
TOOLS = events({"tool_calls": [{"function": {"name": "a", "arguments": GOOD[:7]}}]},
               {"tool_calls": [{"function": {"arguments": GOOD[7:]}}]})  # fmt: skip


@pytest.mark.parametrize("stream", [STREAM, TOOLS])
def test_a_stream_that_nobody_asked_for_is_read(
    replies: Callable[..., Server], stream: str
) -> None:
    replies(stream)
    chat = new_chat()
    assert ask(chat=chat).model_dump() == ANSWER
    assert chat.exchanges[0].reply.completion_tokens == 5


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\x85", "\x0c", "\x1c"])
def test_a_line_of_a_stream_ends_where_the_protocol_ends_it(
    replies: Callable[..., Server], inside: str, end: str
) -> None:
    """JSON may hold these characters as they are; str.splitlines would end a line at each."""
    text = events({"content": GOOD.replace("walks", "walks#on")}).replace("#", inside)
    server = replies(text.replace("\n", end))
    assert ask().description == "walks on" and len(server.calls) == 1


def test_a_stream_that_ends_early_is_asked_for_again(replies: Callable[..., Server]) -> None:
    server = replies(events({"content": GOOD[:7]}, end="", finish=None), STREAM)
    assert ask().model_dump() == ANSWER and len(server.calls) == 2


@pytest.mark.parametrize("finish", ["MAX_TOKENS", "model_length"])
def test_every_name_of_a_cut_is_known(replies: Callable[..., Server], finish: str) -> None:
    replies(completion(GOOD[:-1], finish=finish))
    with pytest.raises(NoAnswer, match="cut off at max_tokens"):
        ask()


@pytest.mark.parametrize("finish", ["content_filter", "SAFETY", "RECITATION", "refusal"])
def test_every_name_of_a_filter_is_known(replies: Callable[..., Server], finish: str) -> None:
    server = replies(completion(None, finish=finish))
    with pytest.raises(NoAnswer, match="refused: content filter"):
        ask()
    assert len(server.calls) == 1


def test_a_model_that_loads_is_asked_again(replies: Callable[..., Server]) -> None:
    """Ollama answers with nothing while it loads, others with no choices."""
    for body in (completion("", finish="load"), {"choices": []}, {"choices": None}):
        replies(body, completion(GOOD))
        assert ask(str(body)).model_dump() == ANSWER
