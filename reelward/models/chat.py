"""One chat call, on any server that speaks OpenAI's chat completions.

What a server can do is found out by being refused, and remembered for server and model together:
json_schema, else json_object, else the prompt alone; several pictures, else one that joins them;
the name of the limit on tokens; a temperature or none. Retries are ours, so that every attempt is
counted and paid from the budget. Whatever comes back is data.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import cv2
import httpx2
import numpy as np
import openai

from reelward.models.prompts import render
from reelward.models.schemas import Answer, parse
from reelward.models.server import SCRATCH, Able, Server, passing, replaying
from reelward.models.spend import Budget, Spend
from reelward.models.store import Reply, Request, Store, digest
from reelward.runtime.errors import InputError, NetworkError, StageError
from reelward.runtime.settings import setting
from reelward.runtime.validation import shown

FORMS = ("json_schema", "json_object", "prompt")
RETRIES, TIMEOUTS = 4, 2
"""of what may pass by itself; of them at most so many after a timeout"""
CALL_SECONDS = 300.0
"""of one attempt; a call with all its attempts takes at most three times as long"""
LONGEST_WAIT = 60.0
"""s between attempts, whatever the server asks for"""
PICTURE_TOKENS = 2000
"""more than servers count for a contact sheet"""

A = TypeVar("A", bound=Answer)
Message = dict[str, Any]


class NoAnswer(Exception):
    """The model answered, but not with what was asked: refused, cut off, empty or malformed. It
    concerns this one question, and nothing else fails because of it."""


class Chat:
    """A model in a role. `calls` collects every call made for the answers, in order."""

    def __init__(
        self, role: str, model: str | None, *, max_tokens: int, temperature: float | None
    ) -> None:
        if not model:
            section = "critique" if role == "critic" else "propose"
            raise InputError(f"{section}.model: expected the name of a model, got null")
        self.role, self.model = role, model
        self.max_tokens, self.temperature = max_tokens, temperature
        self.store = Store(Path(setting("calls", str(SCRATCH / "calls"))), replaying())
        self.calls: list[dict[str, Any]] = []
        self._pictures: dict[str, bytes] = {}

    def user(self, text: str, pictures: Sequence[bytes] = ()) -> Message:
        """A message with JPEG pictures."""
        if not pictures:
            return {"role": "user", "content": text}
        parts: list[Message] = [{"type": "text", "text": text}]
        for picture in pictures:
            name = hashlib.sha256(picture).hexdigest()
            self._pictures[name] = picture
            parts.append({"type": "image", "sha256": name})
        return {"role": "user", "content": parts}

    def ask(self, kind: type[A], messages: list[Message]) -> A:
        """The answer to `messages`, which grow by it. A malformed one is sent back once, with what
        is wrong; an empty or cut one is asked for once more. Raises NoAnswer; StageError when it
        is not about this question alone."""
        for last in (False, True):
            text = self._whole(kind, messages)["text"]
            messages.append({"role": "assistant", "content": text})
            try:
                return parse(text, kind)
            except ValueError as e:
                if _declines(text):
                    raise NoAnswer("refused: " + shown(text)) from None
                if last:
                    raise NoAnswer(f"malformed: {e}") from None
                messages.append(self.user(render("repair", wrong=str(e), form=form(kind))))
        raise AssertionError

    def record(self) -> dict[str, Any]:
        """What a stage's output says of the model behind it: its name, all calls, and whether a
        script answered in place of a model."""
        names = sorted({c["reply"]["model"] for c in self.calls} - {""})
        return {
            "model": self.model, "answered_by": names,
            "scripted": any(name.startswith("scripted") for name in names), "calls": self.calls,
        }  # fmt: skip

    def _whole(self, kind: type[Answer], messages: list[Message]) -> Reply:
        """A reply that is neither refused, empty nor cut off."""
        most, why = self.max_tokens, ""
        for again in (0, 1):
            reply = self._reply(kind, messages, most, again)
            if reply["refusal"] is not None or reply["finish"] == "content_filter":
                raise NoAnswer("refused: " + shown(reply["refusal"] or "content filter"))
            if reply["finish"] == "length":
                most, why = 2 * self.max_tokens, "cut off at max_tokens, twice; raise it"
            elif not reply["text"].strip():
                why = "empty, twice"
            else:
                return reply
        raise NoAnswer(why)

    def _reply(
        self, kind: type[Answer], messages: list[Message], most: int, again: int
    ) -> Reply:  # fmt: skip
        """From the store, or from the server and into the store."""
        request: Request = {
            "role": self.role, "model": self.model, "answer": kind.__name__, "max_tokens": most,
            "temperature": self.temperature, "again": again, "messages": list(messages),
        }  # fmt: skip
        reply = self.store.reply(request)
        if reply is None:
            reply = self._post(request, kind)
            if reply["model"] and not reply["model"].startswith(self.model):
                said = f"reelward: asked {self.model}, and {reply['model']} answered"
                print(said, file=sys.stderr)
        self.calls.append({"request": request, "reply": reply})
        return reply

    # -- on the wire

    @cached_property
    def _server(self) -> Server:
        return Server.of(self.role)

    @cached_property
    def _client(self) -> openai.OpenAI:
        return self._server.connect(self._seconds)

    @cached_property
    def _seconds(self) -> float:
        return setting("call_seconds", CALL_SECONDS)

    def _post(self, request: Request, kind: type[Answer]) -> Reply:
        """Ask until an answer comes, within the limits, and store it. What a server cannot do, it
        is not asked for again."""
        server, call = self._server, digest(request)
        spend = Spend(SCRATCH / "spend.jsonl", Budget.given())
        most = _estimate(request), request["max_tokens"]
        deadline = time.monotonic() + 3 * self._seconds
        failed = timeouts = strange = 0
        while True:
            able = server.able(self.model)
            body = self._body(request, kind, able)
            left = min(self._seconds, deadline - time.monotonic())
            attempt = spend.take(call, self.model, most)
            failure: StageError
            cost, wait = most, None
            try:
                raw = self._client.chat.completions.with_raw_response.create(
                    **body, timeout=httpx2.Timeout(left, connect=15.0)
                )
                reply, complaint = read(raw.http_response.content, server)
                if reply is not None:
                    self.store.keep(request, reply)  # first of all: it is paid for
                    spend.settle(attempt, call, self.model, _tokens(reply, most[0]))
                    return reply
                strange += 1
                failure = NetworkError(f"{server.url} ({server.url_name}): {complaint}")
                final = strange > 1
            except openai.APIStatusError as e:
                cost, wait = (0, 0), _retry_after(e)
                failure, final = server.failure(e, self.model), not passing(e)
                if e.status_code in (400, 422):
                    less = _lesser(server.said(e).lower(), able, body)
                    if less is not None:
                        spend.settle(attempt, call, self.model, cost)
                        server.remember(self.model, less)
                        continue
            except openai.APIConnectionError as e:
                timeouts += isinstance(e, openai.APITimeoutError)
                if isinstance(e.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
                    cost = (0, 0)  # it never got there
                failure, final = server.failure(e, self.model), timeouts > TIMEOUTS
            spend.settle(attempt, call, self.model, cost)
            failed += 1
            pause = min(LONGEST_WAIT, _backoff(failed) if wait is None else wait)
            if final or failed > RETRIES or time.monotonic() + pause > deadline:
                raise failure
            time.sleep(pause)

    def _body(self, request: Request, kind: type[Answer], able: Able) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [self._wire(m, able) for m in request["messages"]],
            able.limit: request["max_tokens"],
        }
        if self.temperature is not None and able.temperature:
            body["temperature"] = self.temperature
        if able.form == "json_schema":
            wanted = {"name": kind.__name__, "strict": True, "schema": kind.form()}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        elif able.form == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def _wire(self, message: Message, able: Able) -> Message:
        """A message as it is sent: pictures as data URLs, joined where only one is taken."""
        if isinstance(message["content"], str):
            return message
        pictures = [self._pictures[p["sha256"]] for p in message["content"] if "sha256" in p]
        if able.pictures == "one" and len(pictures) > 1:
            pictures = [joined(pictures)]
        urls = [f"data:image/jpeg;base64,{base64.b64encode(p).decode()}" for p in pictures]
        parts = [p for p in message["content"] if p["type"] == "text"]
        parts += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return message | {"content": parts}


def form(kind: type[Answer]) -> str:
    """How an answer is to look, for a prompt."""
    return json.dumps(kind.form(), indent=1)


def joined(pictures: Sequence[bytes]) -> bytes:
    """JPEG pictures one below the other, as one JPEG."""
    read = (cv2.imdecode(np.frombuffer(p, np.uint8), cv2.IMREAD_COLOR) for p in pictures)
    drawn = [np.asarray(d) for d in read]
    width = max(d.shape[1] for d in drawn)
    wide = [np.pad(d, ((0, 12), (0, width - d.shape[1]), (0, 0))) for d in drawn]
    return cv2.imencode(".jpg", np.vstack(wide), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def read(body: bytes, server: Server) -> tuple[Reply | None, str]:
    """The reply in the body of a 200, or None and what came instead."""
    text = server.clean(body.decode(errors="replace"))
    try:
        found = json.loads(text)
        choice = found["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        usage = found.get("usage")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        begin = shown(" ".join(text.split())) or "nothing"
        return None, f"expected a chat completion, got {begin}"
    if isinstance(content, list):  # some servers answer in parts
        content = "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
    keys = ("prompt_tokens", "completion_tokens")
    counted = {k: usage.get(k) for k in keys} if isinstance(usage, dict) else {}
    return {
        "text": server.clean(content) if isinstance(content, str) else "",
        "refusal": server.clean(str(refusal)) if refusal else None,
        "finish": str(choice.get("finish_reason")),
        "model": server.clean(str(found.get("model") or "")),
        "usage": {k: v for k, v in counted.items() if isinstance(v, int) and v > 0} or None,
    }, ""


def _lesser(said: str, able: Able, body: dict[str, Any]) -> Able | None:
    """What to ask for less after a refusal, from what it names; None where it names nothing."""
    pictures = max((len(m["content"]) - 1 for m in body["messages"]
                    if isinstance(m["content"], list)), default=0)  # fmt: skip
    if "max_completion_tokens" in said and able.limit == "max_tokens":
        return replace(able, limit="max_completion_tokens")
    if "temperature" in said and "temperature" in body:
        return replace(able, temperature=False)
    if "image" in said and pictures > 1:
        return replace(able, pictures="one")
    if able.form != FORMS[-1] and re.search(r"response_?format|json|schema|grammar|guided", said):
        return replace(able, form=FORMS[FORMS.index(able.form) + 1])
    return None


def _estimate(request: Request) -> int:
    """Tokens of a request at most: a token is seldom less than three characters."""
    text = json.dumps(request["messages"])
    return len(text) // 3 + PICTURE_TOKENS * text.count('"sha256"')


def _tokens(reply: Reply, estimate: int) -> tuple[int, int]:
    """What a reply cost; unknown is not nothing."""
    usage = reply["usage"] or {}
    written = len(reply["text"].encode()) // 2 + 1
    return usage.get("prompt_tokens", estimate), usage.get("completion_tokens", written)


def _declines(text: str) -> bool:
    """A refusal in ordinary words, as far as one can tell."""
    words = r"\bi('m| am) (sorry|unable|not able)|\bi (can('|no|’)t|cannot|won't)"
    return "{" not in text and re.search(words, text.strip()[:160].lower()) is not None


def _retry_after(e: openai.APIStatusError) -> float | None:
    try:
        return max(0.0, float(e.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _backoff(failed: int) -> float:
    return setting("retry_seconds", 1.0) * 2 ** (failed - 1) * random.uniform(0.5, 1.5)
