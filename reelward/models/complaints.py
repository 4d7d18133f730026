"""What a server's refusal means. Every server words its refusals in its own way, so they are told
apart by the words and numbers that all of them share.

The examples in the comments are wordings of OpenAI, Azure, Anthropic, Gemini, Groq, Mistral,
OpenRouter, Together, DeepSeek, DashScope, LiteLLM, vLLM, llama.cpp, Ollama, LM Studio, and TGI.
"""

from __future__ import annotations

import contextlib
import email.utils
import html
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pydantic import JsonValue

from reelward.runtime.words import one_line

MAX_COMPLAINT = 300
"""characters of a server's error message that are passed on"""
ECHO = 40
"""characters; a shorter text of a request may be a server's own word"""
MAX_DETAILS = 20_000
"""characters of an error that are looked at"""


@dataclass(frozen=True)
class Complaint:
    """A refusal of a server: its HTTP status and what it says."""

    status: int
    message: str
    """In one line, for the user."""
    details: str
    """The whole body, as text."""
    wait: float | None
    """Seconds until another attempt may succeed, as the server names them."""

    def says(self, pattern: str) -> bool:
        return re.search(pattern, self.details, re.IGNORECASE) is not None

    @property
    def transient(self) -> bool:
        """Whether another attempt may succeed."""
        if self.out_of_credit or self.out_of_quota:
            return False
        return self.status in (408, 409, 425, 429, 498) or (
            self.status >= 500 and self.status != 501
        )

    @property
    def out_of_credit(self) -> bool:
        """No wait mends it. Gemini speaks of plan and billing where a minute is meant too, and then
        names a wait."""
        if self.status == 402 or self.says(
            r"insufficient[_ ](quota|balance|funds|credit)|credit balance|(no|out of) credits?\b"
            r"|billing_(hard_limit|not_active)|arrearage|exceeded_current_quota|prepayment"
        ):
            return True
        billing = self.says(r"plan and billing|exceeded your (current|monthly|included) ")
        return self.status in (403, 429) and billing and self.wait is None

    @property
    def out_of_quota(self) -> bool:
        """The requests or tokens of a day or a month are used up."""
        return self.status in (403, 429) and self.says(
            r"per[_ -]?(day|month)\b|perday|permonth|\b(daily|monthly)\b|\b[rt]pd\b|for (this|the) day"
        )

    @property
    def about_key(self) -> bool:
        return self.status == 401 or (
            self.status in (400, 403)
            and self.says(r"api[_ -]?key|credential|unauthori[sz]ed|authenticat|access token")
        )

    @property
    def about_model(self) -> bool:
        """The name of the model is not known."""
        return self.status in (400, 404, 422) and self.says(
            r"model\b.{0,120}(not found|(not|n't) exist|not (a )?(valid|supported|available|loaded)"
            r"|unknown|is invalid)|(no such|unknown|invalid|not a valid|not find).{0,20}model"
            r"|model_not_found|try pulling it"
        )

    @property
    def blocked(self) -> bool:
        """A filter of the server holds this one prompt or answer back."""
        return self.status in (400, 403, 422, 451) and self.says(
            r"content[_ ]?(filter|policy|management)|responsible ?ai|moderation|was flagged"
            r"|data_?inspection|inappropriate|prohibited_content|usage polic|safety (system|filter|set)"
        )

    @property
    def no_pictures(self) -> bool:
        """The model does not see. To be asked only where pictures were sent."""
        if self.status not in (400, 404, 415, 422, 500, 501) or self.about_count:
            return False
        return self.says(
            r"(image|vision|visual|picture|multi-?modal)(?!.{0,40}(size|large|big|pixel|exceed))"
            r".{0,60}(not (supported|enabled|available|allowed)|n't support|unsupported|no support"
            r"|is only supported by)"
            r"|(\bnot\b|n't\b|\bcannot\b|\bno\b|without|unable to|unsupported).{0,60}"
            r"\b(image|vision|visual|picture|multi-?modal)(?!.{0,60}(size|large|big|pixel|exceed))"
            r"|mmproj|projector|at most 0 image|only text|text[- ]only|image_url.{0,60}\btext\b"
            r"|content\W{0,40}(must|should|expected|has to)( to)? be a( valid)? string"
            r"|messages.{0,80}(expected|should be) a( valid)? string"
            r"|(unknown|invalid|unexpected).{0,40}image_url|image_url.{0,40}(unknown|invalid|variant)"
            r"|missing data required for image"
        )

    @property
    def about_count(self) -> bool:
        """More pictures were sent than the server takes."""
        return self.says(
            r"\b(multiple|more than|too many|at most [1-9]|maximum of|max(imum)? (number|count)"
            r"|only (one|1|a single)|single|up to|number of|limit of).{0,30}(image|picture)"
            r"|(image|picture)s?\b(?!.{0,60}(\bsize|large|\bbig|dimension|pixel|bytes|\b[mk]i?b\b))"
            r".{0,40}(limit|exceed|at most [1-9]|too many|count)"
        )

    @property
    def about_size(self) -> bool:
        """The pictures are too large; to be asked only where pictures were sent."""
        return self.status == 413 or self.says(
            r"(image|picture).{0,80}(\bsize|large|\bbig|dimension|pixel|resolution|bytes)"
            r"|(size|dimension|pixel|resolution|large)\w*.{0,40}(image|picture)"
            r"|(payload|entity|body|request) (is )?too large"
        )

    @property
    def about_length(self) -> bool:
        """The limit on the answer, or prompt and answer together, are too long."""
        return self.about_context or self.says(
            r"max[\w ]{0,24}tokens|maxoutputtokens|too many tokens"
        )

    @property
    def about_context(self) -> bool:
        return self.says(
            r"context[ -](length|size|window|limit)|context_length_exceeded|exceed_context"
            r"|of context|inputs?\W{1,3}tokens \+|input token count|tokens per minute \(tpm\)"
            r"|prompt is too long|(input|prompt) (is )?too long"
        )

    @cached_property
    def numbers(self) -> frozenset[int]:
        """Numbers of tokens in the message, as far as one can tell: no dates, no names of models."""
        words = re.findall(r"(?<![\w.-])\d{3,9}(?![\w-]|\.\d)", self._without_commas)
        return frozenset(map(int, words)) - {self.status}

    @cached_property
    def prompt_tokens(self) -> frozenset[int]:
        """Numbers that are called the length of the prompt."""
        patterns = (
            r"(?:prompt|input)[\w ]{0,16}\W{0,6}(\d{3,9})\b",
            r"\b(\d{3,9})\W{0,3}(?:tokens?\W{0,3})?(?:of |in |from )?(?:the |your |text )?"
            r"(?:prompt|input|message)",
        )
        text = self._without_commas
        return frozenset(int(n) for pattern in patterns for n in re.findall(pattern, text))

    @cached_property
    def total_tokens(self) -> int | None:
        """The tokens of prompt and answer, where a number is called what was requested."""
        pattern = r"(?:requested|total|given|needs?)\D{0,24}(\d{3,9})\b"
        match = re.search(pattern, self._without_commas)
        return int(match[1]) if match else None

    @cached_property
    def _without_commas(self) -> str:
        """The details in lower case, with 8,192 as 8192."""
        return re.sub(r"(?<=\d)[,_](?=\d{3}\b)", "", self.details).lower()


def complaint(
    status: int,
    body: JsonValue,
    headers: Mapping[str, str],
    now: float | None = None,
    sent: Sequence[str] = (),
) -> Complaint:
    """The refusal in a response; `body` is its JSON, or its text where it holds none. `now` is Unix
    time in s; `sent` are the texts of the request."""
    words = _without_echo(body, [text for text in sent if len(text) >= ECHO])
    details = words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    details = one_line(details, MAX_DETAILS)
    message = _ends(one_line(_message(words), MAX_DETAILS), MAX_COMPLAINT) or "no reason given"
    wait = _wait(status, details, headers, time.time() if now is None else now)
    return Complaint(status, message, details, wait)


def _ends(text: str, most: int) -> str:
    """Begin and end of a text that is too long: a server may say at either end what is wrong, and
    repeat the request between them."""
    half = (most - 5) // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def _without_echo(body: JsonValue, sent: Sequence[str], depth: int = 0) -> JsonValue:
    """A body without what it repeats of the request, whose words are not the server's."""
    if depth > 8:
        return None
    if isinstance(body, dict):
        names = [name for name in body if name not in ("input", "body", "request", "messages")]
        return {name: _without_echo(body[name], sent, depth + 1) for name in names[:40]}
    if isinstance(body, list):
        return [_without_echo(part, sent, depth + 1) for part in body[:10]]
    if not isinstance(body, str):
        return body
    for text in sent:
        body = body.replace(text, "...")
    return _ends(body, 2000)


def _message(body: JsonValue) -> str:
    """The words in an error: OpenAI nests them, Gemini sends a list, FastAPI has `detail`."""
    if isinstance(body, list):
        return "; ".join(_message(part) for part in body[:3])
    if isinstance(body, dict):
        keys = ("error", "message", "detail", "msg", "errors")
        words = next((_message(body[key]) for key in keys if body.get(key)), json.dumps(body))
        metadata = body.get("metadata")
        raw = metadata.get("raw") if isinstance(metadata, dict) else None  # of OpenRouter
        return f"{words}: {_message(raw)}" if raw else words
    text = str(body)
    if re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE):
        title = re.search(r"<title>(.{1,200}?)</title>", text[:5000], re.IGNORECASE | re.DOTALL)
        return f"a web page, {html.unescape(title[1])}" if title else "a web page"
    return text


# --- how long to wait --------------------------------------------------------------------------

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = r"(?:\d+(?:\.\d+)?\s?(?:ms|milliseconds?|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?)?|d(?:ays?)?)(?![a-z])[ ,]*(?:and )?)+"


def seconds(duration: str) -> float | None:
    """The seconds of a duration like `38.2s`, `7m12.5s`, `18h3m1s`, `20 minutes`, or `450ms`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s?(ms|mil|[smhd])", duration.lower())
    if not parts:
        return None
    return sum(float(n) * _SECONDS["ms" if unit == "mil" else unit] for n, unit in parts)


def _wait(status: int, details: str, headers: Mapping[str, str], now: float) -> float | None:
    """The seconds until a server wants to be asked again, from headers or else the body."""
    headers = {k.lower(): v.strip() for k, v in headers.items()}
    if milliseconds := _number(headers.get("retry-after-ms", "")):
        return milliseconds / 1000
    if (wait := _moment(headers.get("retry-after", ""), now)) is not None:
        return wait
    for pattern in (
        rf"\"?retry_?delay\W{{1,4}}({_DURATION})",  # google.rpc.RetryInfo
        rf"(?:again|retry|wait|reset\w*)\b[\w ]{{0,40}}?({_DURATION})",
    ):
        if match := re.search(pattern, details, re.IGNORECASE):
            return seconds(match[1])
    if match := re.search(
        r"\"(?:retry_after(?:_seconds)?|estimated_time)\": ?\"?(\d+(?:\.\d+)?)", details
    ):
        return float(match[1])
    resets = [
        wait
        for name, value in headers.items()
        if status == 429
        and re.search(r"ratelimit-(.*-)?reset", name)
        and not (_number(headers.get(name.replace("reset", "remaining"), "")) or 0) > 0
        and (wait := _moment(value, now)) is not None
    ]
    return max(resets, default=None)


def _moment(value: str, now: float) -> float | None:
    """The seconds from `now` (Unix time, s) to what a header names: seconds, a duration, Unix time
    in s or ms, a date of HTTP, or one of ISO 8601."""
    number = _number(value)
    if number is not None:
        if number > 1e11:
            number /= 1000
        return max(0.0, number - now if number > 1e9 else number)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    with contextlib.suppress(ValueError):
        return max(0.0, datetime.fromisoformat(value).timestamp() - now)
    return seconds(value) if re.fullmatch(_DURATION, value, re.IGNORECASE) else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text) else None
