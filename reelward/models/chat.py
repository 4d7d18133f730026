"""One chat call, on any server that speaks OpenAI's chat completions.

A question goes through these steps: build the request, look it up in the store, else ask the
server and store the reply, parse it, and send a malformed answer back once. Retries are made here
and not by the client, so that every attempt is counted and paid from the budget.

What a server can do is learned from its refusals and remembered for server and model together.
Whatever a model replies is data.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import httpx2
import openai

from reelward.models import wire
from reelward.models.prompts import render
from reelward.models.schemas import Answer, parse
from reelward.models.server import (
    CONNECT_SECONDS,
    SCRATCH,
    Capabilities,
    Server,
    replaying,
    transient,
)
from reelward.models.spend import Budget, SpendLog, Usage
from reelward.models.store import Store, digest
from reelward.records import Exchange, Message, ModelCalls, ModelSettings, Reply, Request
from reelward.runtime.errors import InputError, NetworkError, StageError
from reelward.runtime.settings import setting
from reelward.runtime.validation import shortened

RETRIES = 4
"""after failures of any kind"""
RETRIES_OF = {"final": 0, "malformed": 1, "timeout": 2, "transient": RETRIES}
CALL_SECONDS = 300.0
"""of one attempt; a call with all its attempts takes at most three times as long"""
LONGEST_WAIT = 60.0
"""s between attempts, whatever the server asks for"""
SPEND_LOG = SCRATCH / "spend.jsonl"

A = TypeVar("A", bound=Answer)


class NoAnswer(Exception):
    """The model replied, but not with what was asked: it refused, or the reply is cut off, empty or
    malformed. This concerns the one question; nothing else fails because of it."""


@dataclass(frozen=True)
class Failure:
    """A failed attempt: the error to raise if it was the last, and what to do before another."""

    kind: Literal["final", "malformed", "timeout", "transient"]
    error: StageError
    wait: float | None = None
    """s that the server asks for"""
    reduced: Capabilities | None = None
    """what the server can do after all, if that is why it refused"""


class Chat:
    """A model in a role, `critic` or `author`. `exchanges` collects every request and its reply, in
    order."""

    def __init__(self, role: str, settings: ModelSettings) -> None:
        if not settings.name:
            section = "critique" if role == "critic" else "propose"
            raise InputError(f"{section}.model: expected the name of a model, got null")
        self.role, self.model = role, settings.name
        self.max_tokens, self.temperature = settings.max_tokens, settings.temperature
        self.store = Store(Path(setting("calls", str(SCRATCH / "calls"))), replaying())
        self.exchanges: list[Exchange] = []
        self._pictures: dict[str, bytes] = {}

    def user(self, text: str, pictures: Sequence[bytes] = ()) -> Message:
        """A message with JPEG pictures."""
        names = [hashlib.sha256(picture).hexdigest() for picture in pictures]
        self._pictures.update(zip(names, pictures, strict=True))
        return Message(role="user", text=text, pictures=tuple(names))

    def ask(self, schema: type[A], messages: list[Message]) -> A:
        """The answer to `messages`, to which the exchange is appended. A malformed answer is sent
        back once with what is wrong; an empty or cut one is asked for once more. Raises NoAnswer,
        or StageError if the failure concerns more than this question."""
        wrong = ""
        for _ in range(2):
            if wrong:
                messages.append(self.user(render("repair", wrong=wrong, form=form(schema))))
            text = self._complete(schema, messages).text
            messages.append(Message(role="assistant", text=text))
            try:
                return parse(text, schema)
            except ValueError as e:
                wrong = str(e)
            if _is_refusal(text):
                raise NoAnswer("refused: " + shortened(text))
        raise NoAnswer(f"malformed: {wrong}")

    def record(self) -> ModelCalls:
        """Which models answered and every call, for a stage's output."""
        names = sorted({exchange.reply.model for exchange in self.exchanges} - {""})
        return ModelCalls(
            model=self.model,
            answered_by=tuple(names),
            scripted=any(name.startswith("scripted") for name in names),
            calls=tuple(self.exchanges),
        )

    def _complete(self, schema: type[Answer], messages: list[Message]) -> Reply:
        """A reply that is neither refused, empty nor cut off."""
        max_tokens, why = self.max_tokens, ""
        for repeat in (0, 1):
            reply = self._reply(schema, messages, max_tokens, repeat)
            if reply.refusal is not None or reply.finish == "content_filter":
                raise NoAnswer("refused: " + shortened(reply.refusal or "content filter"))
            if reply.finish == "length":
                max_tokens, why = 2 * self.max_tokens, "cut off at max_tokens, twice; raise it"
            elif not reply.text.strip():
                why = "empty, twice"
            else:
                return reply
        raise NoAnswer(why)

    def _reply(
        self, schema: type[Answer], messages: list[Message], max_tokens: int, repeat: int
    ) -> Reply:
        """From the store, or from the server and into the store."""
        request = Request(
            role=self.role, model=self.model, answer=schema.__name__, max_tokens=max_tokens,
            temperature=self.temperature, repeat=repeat, messages=tuple(messages),
        )  # fmt: skip
        reply = self.store.reply(request)
        if reply is None:
            reply = self._post(request, schema)
            if reply.model and not reply.model.startswith(self.model):
                print(f"reelward: asked {self.model}, {reply.model} answered", file=sys.stderr)
        self.exchanges.append(Exchange(request=request, reply=reply))
        return reply

    # -- the server

    @cached_property
    def _server(self) -> Server:
        return Server.of(self.role)

    @cached_property
    def _client(self) -> openai.OpenAI:
        return self._server.connect(self._seconds)

    @cached_property
    def _seconds(self) -> float:
        return setting("call_seconds", CALL_SECONDS)

    def _post(self, request: Request, schema: type[Answer]) -> Reply:
        """Ask the server until it answers, within the limits on attempts, time and budget."""
        log = SpendLog(SPEND_LOG, Budget.from_settings())
        deadline = time.monotonic() + 3 * self._seconds
        failures: list[Failure] = []
        while True:
            seconds = min(self._seconds, deadline - time.monotonic())
            result = self._attempt(request, schema, log, seconds)
            if isinstance(result, Reply):
                return result
            if result.reduced is not None:
                self._server.remember(self.model, result.reduced)
                continue
            failures.append(result)
            same_kind = sum(failure.kind == result.kind for failure in failures)
            wait = _backoff(len(failures)) if result.wait is None else result.wait
            wait = min(LONGEST_WAIT, wait)
            if (
                same_kind > RETRIES_OF[result.kind]
                or len(failures) > RETRIES
                or time.monotonic() + wait > deadline
            ):
                raise result.error
            time.sleep(wait)

    def _attempt(
        self, request: Request, schema: type[Answer], log: SpendLog, seconds: float
    ) -> Reply | Failure:
        """One request to the server. An attempt of unknown cost stays in the log with the most."""
        server = self._server
        capabilities = server.capabilities(self.model)
        body = wire.body(request, schema, self._pictures, capabilities)
        most = wire.most(request)
        attempt = log.begin(digest(request), self.model, most)
        try:
            response = self._client.chat.completions.with_raw_response.create(
                **body, timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS)
            )
            reply = wire.read(response.http_response.content, server)
        except wire.MalformedReply as e:
            return Failure("malformed", NetworkError(f"{server.url} ({server.url_name}): {e}"))
        except openai.APIStatusError as e:
            log.settle(attempt, Usage(0, 0))
            error = server.failure(e, self.model)
            if e.status_code in (400, 422):
                reduced = wire.reduced(server.complaint(e), capabilities, body)
                return Failure("final", error, reduced=reduced)
            return Failure("transient" if transient(e) else "final", error, _retry_after(e))
        except openai.APIConnectionError as e:
            if isinstance(e.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
                log.settle(attempt, Usage(0, 0))  # it never arrived
            timeout = isinstance(e, openai.APITimeoutError)
            return Failure("timeout" if timeout else "transient", server.failure(e, self.model))
        self.store.keep(request, reply)  # before all else: it is paid for
        log.settle(attempt, wire.usage(reply, most))
        return reply


def form(schema: type[Answer]) -> str:
    """The JSON schema of an answer, for a prompt."""
    return json.dumps(schema.form(), indent=1)


def _is_refusal(text: str) -> bool:
    """Whether the model refuses in ordinary words, as far as one can tell."""
    words = r"\bi('m| am) (sorry|unable|not able)|\bi (can('|no|’)t|cannot|won't)"
    return "{" not in text and re.search(words, text.strip()[:160].lower()) is not None


def _retry_after(e: openai.APIStatusError) -> float | None:
    """Seconds of the header Retry-After; None if it is missing, or a date."""
    try:
        return max(0.0, float(e.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _backoff(failures: int) -> float:
    """Seconds, doubled after each failure, with jitter."""
    return setting("retry_seconds", 1.0) * 2 ** (failures - 1) * random.uniform(0.5, 1.5)
