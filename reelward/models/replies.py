"""The reply in the body of a 200, wherever a server puts it.

OpenAI's protocol has the answer in `choices[0].message.content`. Servers also send a list of typed
parts, an object, the arguments of a tool call, or a stream of events that nobody asked for; a
misconfigured reasoning parser puts the whole answer into the field for thoughts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from reelward.models.complaints import Complaint, complaint
from reelward.models.server import Server
from reelward.records import Reply
from reelward.runtime.validation import shortened
from reelward.runtime.words import lines, one_line

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_text")
"""fields of a message that hold what the model thinks"""
FINISH = {
    "max_tokens": "length", "model_length": "length", "max_output_tokens": "length",
    "safety": "content_filter", "recitation": "content_filter", "refusal": "content_filter",
    "prohibited_content": "content_filter", "blocklist": "content_filter", "spii": "content_filter",
}  # fmt: skip
"""Why a model stopped, in OpenAI's words."""

Json = dict[str, Any]
"""JSON of the shape that the server defines"""


class MalformedReply(Exception):
    """The server answered 200 with something that is no chat completion."""


class RefusedReply(Exception):
    """The server answered 200 with an error in it."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint


def read(content: bytes, server: Server) -> Reply:
    """The reply in the body of a 200. Raises MalformedReply or RefusedReply."""
    text = server.without_key(content.decode(json.detect_encoding(content), "replace"))
    text = text.removeprefix("\ufeff").strip()
    try:
        completion = _joined(_events(text)) if _is_stream(text) else json.loads(text, strict=False)
        if isinstance(completion, list) and len(completion) == 1:
            completion = completion[0]
        _raise_error(completion)
        choices = completion["choices"] or [{"message": {}}]
        choice = choices[0]
        _raise_error(choice)
        message = choice["message"] if "message" in choice else {"content": choice["text"]}
        finish = str(choice.get("finish_reason")).lower()
        finish = FINISH.get(finish, finish)
        answer, refusal = _answer(message or {}, finish == "length"), (message or {}).get("refusal")
        usage = completion.get("usage")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        begin = shortened(" ".join(text.split())) or "nothing"
        raise MalformedReply(f"expected a chat completion, got {begin}") from None
    counts = usage if isinstance(usage, dict) else {}
    return Reply(
        text=_clean(answer, server),
        refusal=one_line(_clean(str(refusal), server)) if refusal else None,
        finish=_clean(finish, server)[:40],
        model=one_line(_clean(str(completion.get("model") or ""), server), 200),
        prompt_tokens=_count(counts.get("prompt_tokens")),
        completion_tokens=_count(counts.get("completion_tokens")),
    )


def _raise_error(part: Json) -> None:
    """Raises RefusedReply for an error in place of a completion, or in its choice."""
    if error := part.get("error"):
        fields = error if isinstance(error, dict) else {}
        code = re.fullmatch("[45][0-9][0-9]", str(fields.get("code")))
        wrong = "invalid" in str(fields.get("type"))
        status = int(code[0]) if code else 400 if wrong else 500
        raise RefusedReply(complaint(status, {"error": error}, {}))


def _answer(message: Json, cut: bool) -> str:
    """The answer in a message. Thoughts alone are no answer, unless they are JSON from end to end
    and not cut off;
    they are returned between marks, so that the reply is kept and known for what it is."""
    if text := _text(message.get("content")).strip():
        return text
    calls = [call.get("function") for call in message.get("tool_calls") or ()]
    for function in (*calls, message.get("function_call")):
        if function and (text := _text(function.get("arguments")).strip()):
            return text
    thoughts = next((text for name in THOUGHTS if (text := _text(message.get(name)).strip())), "")
    inside = re.sub(r"^```\w*\s*|\s*```$", "", thoughts)
    if not cut and inside.startswith("{") and inside.endswith("}"):
        return inside
    return f"<think>{thoughts}</think>" if thoughts else ""


def _text(content: object) -> str:
    """The text of a content: a string, typed parts of which some are thoughts, or an object."""
    if isinstance(content, list):
        return "".join(map(_text, content))
    if not isinstance(content, dict):
        return content if isinstance(content, str) else ""
    kind = str(content.get("type", ""))
    if re.search(r"think|reason|thought", kind) or content.get("thought") is True:
        return ""
    if "type" in content or "text" in content:
        text = content.get("text")
        return str(text.get("value", "")) if isinstance(text, dict) else str(text or "")
    return json.dumps(content)


# --- streams -----------------------------------------------------------------------------------


def _is_stream(text: str) -> bool:
    return re.match(r"(data|event|id|retry)?:", text) is not None


def _events(text: str) -> Iterator[Json]:
    """The JSON of each event. Raises ValueError where the stream ends before its answer does."""
    finished = False
    for line in lines(text):
        name, _, data = line.partition(":")
        if name != "data" or not data.strip():
            continue
        if data.strip() == "[DONE]":
            return
        event = json.loads(data, strict=False)
        finished |= any(choice.get("finish_reason") for choice in event.get("choices") or ())
        yield event
    if not finished:
        raise ValueError("the stream ends early")


def _joined(events: Iterator[Json]) -> Json:
    """The completion that the events of a stream are pieces of."""
    message: dict[str, list[str]] = {}
    completion: Json = {}
    finish = None
    for event in events:
        _raise_error(event)
        completion |= {key: event[key] for key in ("model", "usage") if event.get(key)}
        for choice in (event.get("choices") or ())[:1]:
            finish = choice.get("finish_reason") or finish
            delta = choice.get("delta") or choice.get("message") or {}
            for call in delta.get("tool_calls") or ():
                arguments = (call.get("function") or {}).get("arguments")
                message.setdefault("arguments", []).append(_text(arguments))
            for name in ("content", "refusal", *THOUGHTS):
                message.setdefault(name, []).append(_text(delta.get(name)))
    texts: Json = {name: "".join(pieces) for name, pieces in message.items()}
    texts["tool_calls"] = [{"function": {"arguments": texts.pop("arguments", "")}}]
    return completion | {"choices": [{"message": texts, "finish_reason": finish}]}


# --- values ------------------------------------------------------------------------------------


def _clean(text: str, server: Server) -> str:
    """`text` without the key and without halves of characters, which JSON may hold and UTF-8 may
    not."""
    return server.without_key(text).encode(errors="replace").decode()


def _count(value: object) -> int | None:
    """A number of tokens; None if the server gives none or an absurd one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value < 1_000_000_000 else None
