"""The body of a request as OpenAI's chat completions have it, and the tokens that it may take."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from reelward.models.capabilities import Capabilities, Sent
from reelward.models.schemas import Answer
from reelward.models.spend import Usage
from reelward.records import Message, Reply, Request

PICTURE_TOKENS = 2000
"""more than servers count for a contact sheet"""
Body = dict[str, Any]
"""JSON of the shape that the server defines"""


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
        capabilities.limit: capabilities.most_tokens(request.max_tokens, most(request).prompt),
    }
    if capabilities.stream:
        sent["stream"] = True
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
    if capabilities.side is not None:
        jpegs = [smaller(jpeg, capabilities.side) for jpeg in jpegs]
    urls = [f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in jpegs]
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": message.role, "content": [{"type": "text", "text": message.text}, *images]}


def joined(jpegs: Sequence[bytes]) -> bytes:
    """JPEG pictures one below the other, as one JPEG."""
    images = [_decoded(jpeg) for jpeg in jpegs]
    width = max(image.shape[1] for image in images)
    padded = [np.pad(image, ((0, 12), (0, width - image.shape[1]), (0, 0))) for image in images]
    return _jpeg(np.vstack(padded))


def smaller(jpeg: bytes, side: int) -> bytes:
    """A JPEG picture whose longer side has at most `side` pixels."""
    image = _decoded(jpeg)
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return jpeg
    size = [max(1, round(scale * n)) for n in image.shape[1::-1]]
    return _jpeg(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _decoded(jpeg: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _jpeg(image: npt.NDArray[Any]) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def sent(body: Body, request: Request, pictures: Mapping[str, bytes], side: int | None) -> Sent:
    """What a body holds that a server may refuse."""
    names = [name for message in request.messages for name in message.pictures]
    sides = [max(_decoded(pictures[name]).shape[:2]) for name in dict.fromkeys(names)]
    return Sent(
        tokens=body.get("max_tokens") or body["max_completion_tokens"],
        temperature="temperature" in body,
        pictures=max(
            (len(m["content"]) - 1 for m in body["messages"] if isinstance(m["content"], list)),
            default=0,
        ),
        side=min(max(sides, default=0), side or 100_000),
        stream="stream" in body,
    )


def most(request: Request) -> Usage:
    """The most tokens that a request can take; a token is seldom shorter than three characters."""
    characters = len(json.dumps([m.model_dump() for m in request.messages]))
    pictures = sum(len(m.pictures) for m in request.messages)
    return Usage(characters // 3 + PICTURE_TOKENS * pictures, request.max_tokens)


def likely(request: Request) -> int:
    """The tokens that a request is likely to take at most."""
    characters = sum(len(m.text) for m in request.messages)
    return characters // 4 + PICTURE_TOKENS * sum(len(m.pictures) for m in request.messages)


def least(request: Request) -> int:
    """The fewest tokens that the texts of a request can be; a token of English, code and figures
    is seldom longer than five characters."""
    return sum(len(m.text) for m in request.messages) // 5


def usage(reply: Reply, most: Usage) -> Usage:
    """The tokens that a reply took; what the server did not count is estimated from above."""
    written = len(reply.text.encode()) // 2 + 1
    prompt = most.prompt if reply.prompt_tokens is None else reply.prompt_tokens
    completion = written if reply.completion_tokens is None else reply.completion_tokens
    return Usage(prompt, completion)
