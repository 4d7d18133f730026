"""OpenAI's chat completions as they go over the wire: the body of a request, the body of a reply,
and what to leave out once a server has refused it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from reelward.models.schemas import Answer
from reelward.models.server import Capabilities, Server
from reelward.models.spend import Usage
from reelward.records import Message, Reply, Request
from reelward.runtime.validation import shortened

PICTURE_TOKENS = 2000
"""more than servers count for a contact sheet"""

Body = dict[str, Any]
"""JSON of the shape that the server defines"""


class MalformedReply(Exception):
    """The server answered 200 with something that is no chat completion."""


def body(
    request: Request,
    schema: type[Answer],
    pictures: Mapping[str, bytes],
    capabilities: Capabilities,
) -> Body:
    """The body of `request` for a server with these capabilities; `pictures` by their digest."""
    sent: Body = {
        "model": request.model,
        "messages": [_message(m, pictures, capabilities) for m in request.messages],
        capabilities.limit: request.max_tokens,
    }
    if request.temperature is not None and capabilities.temperature:
        sent["temperature"] = request.temperature
    if capabilities.form == "json_schema":
        strict = {"name": schema.__name__, "strict": True, "schema": schema.form()}
        sent["response_format"] = {"type": "json_schema", "json_schema": strict}
    elif capabilities.form == "json_object":
        sent["response_format"] = {"type": "json_object"}
    return sent


def _message(message: Message, pictures: Mapping[str, bytes], capabilities: Capabilities) -> Body:
    """A message with its pictures as data URLs, joined if the server takes one only."""
    if not message.pictures:
        return {"role": message.role, "content": message.text}
    jpegs = [pictures[name] for name in message.pictures]
    if capabilities.pictures == "one" and len(jpegs) > 1:
        jpegs = [joined(jpegs)]
    urls = [f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in jpegs]
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": message.role, "content": [{"type": "text", "text": message.text}, *images]}


def joined(jpegs: Sequence[bytes]) -> bytes:
    """JPEG pictures one below the other, as one JPEG."""
    images = [
        np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)) for jpeg in jpegs
    ]
    width = max(image.shape[1] for image in images)
    padded = [np.pad(image, ((0, 12), (0, width - image.shape[1]), (0, 0))) for image in images]
    return cv2.imencode(".jpg", np.vstack(padded), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def read(content: bytes, server: Server) -> Reply:
    """The reply in the body of a 200. Raises MalformedReply."""
    text = server.without_key(content.decode(errors="replace"))
    try:
        completion = json.loads(text)
        choice = completion["choices"][0]
        message = choice["message"]
        answer, refusal = message.get("content"), message.get("refusal")
        usage = completion.get("usage")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        begin = shortened(" ".join(text.split())) or "nothing"
        raise MalformedReply(f"expected a chat completion, got {begin}") from None
    if isinstance(answer, list):  # some servers answer in parts
        answer = "".join(str(part.get("text", "")) for part in answer if isinstance(part, dict))
    counts = usage if isinstance(usage, dict) else {}
    return Reply(
        text=_clean(answer, server) if isinstance(answer, str) else "",
        refusal=_clean(str(refusal), server) if refusal else None,
        finish=_clean(str(choice.get("finish_reason")), server),
        model=_clean(str(completion.get("model") or ""), server),
        prompt_tokens=_count(counts.get("prompt_tokens")),
        completion_tokens=_count(counts.get("completion_tokens")),
    )


def _clean(text: str, server: Server) -> str:
    """`text` without the key and without halves of characters, which JSON may hold and UTF-8 may
    not."""
    return server.without_key(text).encode(errors="replace").decode()


def _count(value: object) -> int | None:
    """A number of tokens; None if the server gives none or an absurd one."""
    return value if isinstance(value, int) and 0 < value < 1_000_000_000 else None


def reduced(complaint: str, capabilities: Capabilities, sent: Body) -> Capabilities | None:
    """The capabilities less the one that an error message names; None if it names none."""
    complaint = complaint.lower()
    pictures = max(
        (len(m["content"]) - 1 for m in sent["messages"] if isinstance(m["content"], list)),
        default=0,
    )
    changed: dict[str, object] = {}
    if "max_completion_tokens" in complaint and capabilities.limit == "max_tokens":
        changed = {"limit": "max_completion_tokens"}
    elif "temperature" in complaint and "temperature" in sent:
        changed = {"temperature": False}
    elif "image" in complaint and pictures > 1:
        changed = {"pictures": "one"}
    elif capabilities.form != "prompt" and re.search(
        r"response_?format|json|schema|grammar|guided", complaint
    ):
        less = {"json_schema": "json_object", "json_object": "prompt"}
        changed = {"form": less[capabilities.form]}
    return capabilities.model_copy(update=changed) if changed else None


def most(request: Request) -> Usage:
    """The most tokens that a request can take; a token is seldom shorter than three characters."""
    characters = len(json.dumps([m.model_dump() for m in request.messages]))
    pictures = sum(len(m.pictures) for m in request.messages)
    return Usage(characters // 3 + PICTURE_TOKENS * pictures, request.max_tokens)


def usage(reply: Reply, most: Usage) -> Usage:
    """The tokens that a reply took; what the server did not count is estimated from above."""
    written = len(reply.text.encode()) // 2 + 1
    prompt = most.prompt if reply.prompt_tokens is None else reply.prompt_tokens
    completion = written if reply.completion_tokens is None else reply.completion_tokens
    return Usage(prompt, completion)
