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

from reelward.models import replies, wire
from reelward.models.capabilities import (
    CAPABILITIES,
    SCRATCH,
    Capabilities,
    recall,
    reduced,
    remember,
)
from reelward.models.complaints import Complaint
from reelward.models.connection import CONNECT_SECONDS
from reelward.models.prompts import render
from reelward.models.schemas import Answer, parse, whole
from reelward.models.server import Server, moment, replaying
from reelward.models.spend import Budget, SpendLog, Usage
from reelward.models.store import Store, digest
from reelward.models.thoughts import without_thoughts
from reelward.records import Exchange, Message, ModelCalls, ModelSettings, Reply, Request
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError
from reelward.runtime.settings import setting
from reelward.runtime.validation import shortened
from reelward.runtime.words import show

LARGER_CONTEXT = "give it a larger context (Ollama: OLLAMA_CONTEXT_LENGTH=32768)"
RETRIES = 4
"""after failures of any kind"""
RETRIES_OF = {"final": 0, "malformed": 1, "timeout": 2, "transient": RETRIES}
REDUCTIONS = 10
"""times that a call is sent again with less, as the server wants it"""
CALL_SECONDS = 300.0
"""of one attempt; a call with all its attempts takes at most three times as long"""
LONGEST_WAIT = 300.0
"""s between attempts; a server that asks for more is left"""
SHOWN_WAIT = 3.0
"""s; a longer wait is shown"""
SHOWN_EVERY = 10.0
"""s between lines while it lasts"""
KEPT = 20_000
"""characters of a wrong answer that are sent back"""
SPEND_LOG = SCRATCH / "spend.jsonl"

A = TypeVar("A", bound=Answer)


class NoAnswer(Exception):
    """The model replied, but not with what was asked: it refused, or the reply is cut off, empty or
    malformed. This concerns the one question; nothing else fails because of it."""


@dataclass(frozen=True)
class Failure:
    """A failed attempt: the error to raise if it was the last, and what to do before another."""

    kind: Literal["final", "malformed", "timeout", "transient"]
    error: StageError | NoAnswer
    wait: float | None = None
    """s that the server asks for"""
    reduced: Capabilities | None = None
    """What the server can do after all, if that is why it refused."""


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
        self._reported: set[str] = set()

    def user(self, text: str, pictures: Sequence[bytes] = ()) -> Message:
        """A message with JPEG pictures."""
        names = [hashlib.sha256(picture).hexdigest() for picture in pictures]
        self._pictures.update(zip(names, pictures, strict=True))
        return Message(role="user", text=text, pictures=tuple(names))

    def ask(self, schema: type[A], messages: list[Message]) -> A:
        """The answer to `messages`, to which the exchange is appended. A malformed answer is sent
        back once with what is wrong; an empty or cut one is asked for once more. Raises NoAnswer,
        or StageError if the failure concerns more than this question. After NoAnswer the replies
        are not used again: the same question is asked anew."""
        before = len(self.exchanges)
        try:
            return self._ask(schema, messages)
        except NoAnswer:
            self.store.drop(exchange.request for exchange in self.exchanges[before:])
            raise

    def _ask(self, schema: type[A], messages: list[Message]) -> A:
        wrong = ""
        for _ in range(2):
            if wrong:
                messages.append(self.user(render("repair", wrong=wrong, form=form(schema))))
            text = self._complete(schema, messages)
            messages.append(Message(role="assistant", text=text[:KEPT]))
            try:
                return parse(text, schema)
            except ValueError as e:
                wrong = str(e)
            if _is_refusal(text):
                raise NoAnswer("refused: " + shortened(text))
        raise NoAnswer(f"malformed: {wrong}{self._shortfall()}")

    def record(self) -> ModelCalls:
        """Which models answered and every call, for a stage's output."""
        names = sorted({exchange.reply.model for exchange in self.exchanges} - {""})
        return ModelCalls(
            model=self.model,
            answered_by=tuple(names),
            scripted=any(name.startswith("scripted") for name in names),
            calls=tuple(self.exchanges),
        )

    def _complete(self, schema: type[Answer], messages: list[Message]) -> str:
        """A reply without its thoughts that is neither refused, empty nor cut off inside its answer."""
        max_tokens, why = self.max_tokens, ""
        for repeat in (0, 1):
            reply = self._reply(schema, messages, max_tokens, repeat)
            if reply.refusal is not None or reply.finish == "content_filter":
                raise NoAnswer("refused: " + shortened(reply.refusal or "content filter"))
            text = without_thoughts(reply.text)
            if reply.finish == "length":
                if (answer := whole(text, schema)) is not None:
                    return answer
                max_tokens = 2 * self.max_tokens
                why = "cut off at max_tokens, twice; raise it, if its server allows more"
            elif not text:
                why = "thoughts without an answer, twice" if reply.text.strip() else "empty, twice"
            else:
                return text
        raise NoAnswer(why + self._shortfall())

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
            if reply.model and self.model not in reply.model:
                self._report(f"asked {self.model}, {reply.model} answered")
            if reply.prompt_tokens is not None and reply.prompt_tokens < wire.least(request):
                self._report(
                    f"{self.model} read {reply.prompt_tokens} tokens of a prompt of more than "
                    f"{wire.least(request)}: {LARGER_CONTEXT}",
                    once="read",
                )
        self.exchanges.append(Exchange(request=request, reply=reply))
        return reply

    def _shortfall(self) -> str:
        """What the server read of the last request, if that is less than was sent, as far as one can
        tell: it may have cut the prompt without a word."""
        request, reply = self.exchanges[-1].request, self.exchanges[-1].reply
        read, likely = reply.prompt_tokens, wire.likely(request)
        if read is None or read >= likely:
            return ""
        return (
            f"; its server read {read} tokens of a prompt of up to {likely}: if it cut the prompt, "
            + LARGER_CONTEXT
        )

    def _report(self, message: str, once: str = "") -> None:
        """Tell the user, a message (or what is called `once`) no more than once."""
        if (once or message) not in self._reported:
            self._reported.add(once or message)
            show(f"reelward: {message}", sys.stderr)

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
        self.store.require_writable()
        log = SpendLog(SPEND_LOG, Budget.from_settings())
        deadline = time.monotonic() + 3 * self._seconds
        known = capabilities = recall(self._server.url, self.model)
        failures: list[Failure] = []
        reductions = 0
        while True:
            seconds = min(self._seconds, deadline - time.monotonic())
            result = self._attempt(request, schema, capabilities, log, seconds)
            if isinstance(result, Reply):
                self._learn(known, capabilities)
                return result
            if result.reduced is not None and reductions < REDUCTIONS:
                capabilities, reductions = result.reduced, reductions + 1
                continue
            failures.append(result)
            same_kind = sum(failure.kind == result.kind for failure in failures)
            wait = max(_backoff(len(failures)), result.wait or 0.0)
            if (
                same_kind > RETRIES_OF[result.kind]
                or len(failures) > RETRIES
                or time.monotonic() + wait > deadline
            ):
                raise result.error
            _pause(wait, str(result.error))

    def _learn(self, known: Capabilities, capabilities: Capabilities) -> None:
        """Remember what the server can do, once it has answered."""
        if changes := capabilities.changes(known):
            kept = f"kept in {CAPABILITIES}"
            try:
                remember(self._server.url, self.model, capabilities)
            except OSError as e:
                kept = f"not kept, {CAPABILITIES}: {e.strerror}"
            self._report(f"{self.model} at {self._server.url} {changes}; {kept}")

    def _attempt(
        self, request: Request, schema: type[Answer], capabilities: Capabilities,
        log: SpendLog, seconds: float,
    ) -> Reply | Failure:  # fmt: skip
        """One request to the server. An attempt of unknown cost stays in the log with the most."""
        server = self._server
        body = wire.body(request, schema, self._pictures, capabilities)
        most = wire.most(request)
        attempt = log.begin(digest(request), self.model, most)
        try:
            response = self._client.chat.completions.with_raw_response.create(
                **{name: value for name, value in body.items() if name != "stream"},
                extra_body={"stream": True} if "stream" in body else None,
                timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS),
            )
            reply = replies.read(response.http_response.content, server)
        except replies.MalformedReply as e:
            return Failure("malformed", NetworkError(f"{server.url} ({server.url_name}): {e}"))
        except replies.RefusedReply as e:
            log.settle(attempt, Usage(0, 0))
            return self._refused(e.complaint, request, body, capabilities)
        except openai.APIStatusError as e:
            log.settle(attempt, Usage(0, 0))
            complaint = server.complaint(e, [message.text for message in request.messages])
            return self._refused(complaint, request, body, capabilities)
        except openai.APIConnectionError as e:
            if isinstance(e.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
                log.settle(attempt, Usage(0, 0))  # it never arrived
            timeout = isinstance(e, openai.APITimeoutError)
            return Failure(
                "timeout" if timeout else "transient", server.failure(e, self.model, self._seconds)
            )
        self.store.keep(request, reply)  # before all else: it is paid for
        log.settle(attempt, wire.usage(reply, most))
        return reply

    def _refused(
        self, complaint: Complaint, request: Request, body: wire.Body, capabilities: Capabilities
    ) -> Failure:
        """What to do after a refusal."""
        server = self._server
        sent = wire.sent(body, request, self._pictures, capabilities.side)
        error = server.refusal(complaint, self.model)
        if complaint.blocked:
            return Failure("final", NoAnswer(f"refused: {complaint.message}"))
        if sent.pictures and complaint.no_pictures:
            return Failure(
                "final", InputError(f"this model takes no pictures, name one that does; {error}")
            )
        if (less := reduced(complaint, capabilities, sent)) is not None:
            return Failure("final", error, reduced=less)
        if complaint.about_context and complaint.status != 429:
            if len(request.messages) > 1:  # a long conversation; a new question may fit
                return Failure("final", NoAnswer(f"too long: {complaint.message}"))
            return Failure("final", InputError(f"{error}; {LARGER_CONTEXT}"))
        wait = complaint.wait or 0.0
        if complaint.transient and wait > LONGEST_WAIT:
            return Failure("final", ResourceError(f"{error}; free again {moment(wait)}"))
        return Failure("transient" if complaint.transient else "final", error, complaint.wait)


def form(schema: type[Answer]) -> str:
    """The JSON schema of an answer, for a prompt."""
    return json.dumps(schema.form(), indent=1)


def _is_refusal(text: str) -> bool:
    """Whether the model refuses in ordinary words, as far as one can tell."""
    words = r"\bi('m| am) (sorry|unable|not able)|\bi (can('|no|’)t|cannot|won't)"
    return "{" not in text and re.search(words, text.strip()[:160].lower()) is not None


def _backoff(failures: int) -> float:
    """Seconds, doubled after each failure, with jitter."""
    return setting("retry_seconds", 1.0) * 2 ** (failures - 1) * random.uniform(0.5, 1.5)


def _pause(wait: float, why: str) -> None:
    """Sleep for `wait` seconds. A long wait is shown."""
    if wait < SHOWN_WAIT:
        time.sleep(wait)
        return
    show(f"reelward: waiting {wait:.0f} s, {why}", sys.stderr)
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(SHOWN_EVERY, left))
        if (left := end - time.monotonic()) > 1:
            show(f"reelward: {left:.0f} s left to wait", sys.stderr)
