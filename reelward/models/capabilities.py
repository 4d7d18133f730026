"""What a server accepts for a model: learned from its refusals, remembered once a call succeeds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from reelward.models.complaints import Complaint
from reelward.records import Record
from reelward.runtime import files

SCRATCH = Path("scratch")
CAPABILITIES = SCRATCH / "servers.json"
LEAST_TOKENS = 256
"""of an answer; a server that allows fewer is of no use"""
LEAST_SIDE = 300
"""pixels; on a smaller contact sheet nothing can be seen"""
MARGIN = 16
"""tokens, as servers count a prompt in several ways"""
EXCLUSIVE = r"exclusive|(less|lower|smaller) than(?! or equal)"
REDUCIBLE = (400, 404, 413, 415, 422, 500, 501)
"""statuses of refusals that may concern one field of a request"""


class Capabilities(Record):
    """What a server accepts for a model."""

    form: Literal["json_schema", "json_object", "prompt"] = "json_schema"
    """How it is asked for JSON; `prompt` is in words alone."""
    pictures: Literal["many", "one"] = "many"
    side: int | None = None
    """Longest side of a picture in pixels."""
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    tokens: int | None = None
    """Most tokens of an answer."""
    context: int | None = None
    """Most tokens of prompt and answer together."""
    room: int | None = Field(default=None, exclude=True)
    """Tokens that the context leaves for the answer to this one prompt."""
    temperature: bool = True
    stream: bool = False
    """Whether it answers in a stream only."""

    def most_tokens(self, wanted: int, prompt: int) -> int:
        """The tokens to allow an answer, where `prompt` is the most that its prompt can take."""
        limits = [wanted, self.tokens, self.room]
        if self.context is not None and self.room is None:
            limits.append(max(self.context - prompt, self.context // 4))
        return min(n for n in limits if n is not None)

    def changes(self, before: Capabilities) -> str:
        """What was learned since `before`, in words; empty for nothing to remember."""
        words = {
            "form": f"asked for JSON by {self.form}",
            "pictures": "takes one picture",
            "side": f"takes pictures of {self.side} pixels",
            "limit": f"calls the limit {self.limit}",
            "tokens": f"writes at most {self.tokens} tokens",
            "context": f"has a context of {self.context} tokens",
            "temperature": "has its own temperature",
            "stream": "answers in a stream",
        }
        return ", ".join(w for k, w in words.items() if getattr(self, k) != getattr(before, k))


_KNOWN = TypeAdapter(dict[str, Capabilities])


def recall(url: str, model: str) -> Capabilities:
    return _known().get(f"{url} {model}", Capabilities())


def remember(url: str, model: str, capabilities: Capabilities) -> None:
    known = _known() | {f"{url} {model}": capabilities}
    files.write_json(CAPABILITIES, _KNOWN.dump_python(known, mode="json"))


def _known() -> dict[str, Capabilities]:
    """What is known of every server and model; one that cannot be read is nothing
    known."""
    try:
        return _KNOWN.validate_json(CAPABILITIES.read_bytes())
    except (OSError, ValidationError):
        return {}


class Sent(Record):
    """What a refused request had."""

    tokens: int
    """Limit on the tokens of the answer."""
    temperature: bool
    pictures: int
    side: int
    """Longest side of its pictures in pixels."""
    stream: bool


def reduced(complaint: Complaint, capabilities: Capabilities, sent: Sent) -> Capabilities | None:
    """The capabilities less what a complaint names; None if it names nothing that was sent."""
    if complaint.status not in REDUCIBLE:
        return None
    about = complaint.details.lower()
    changed: dict[str, object] | None = None
    if "max_completion_tokens" in about and capabilities.limit == "max_tokens" and re.search(
        r"max_tokens\W.{0,80}(unknown|not support|unsupported|unrecogni|deprecated|instead)"
        r"|(use|instead).{0,60}max_completion_tokens|unsupported_parameter|unknown_parameter",
        about,
    ):  # fmt: skip
        changed = {"limit": "max_completion_tokens"}
    elif "temperature" in about and sent.temperature:
        changed = {"temperature": False}
    elif complaint.about_length:
        changed = _shorter(complaint, sent, again=capabilities.room is not None)
    elif re.search(r"\bstream", about) and not sent.stream:
        changed = {"stream": True}
    elif sent.pictures > 1 and (
        complaint.about_count or re.search(r"image|picture", about) and not complaint.about_size
    ):
        changed = {"pictures": "one"}
    elif sent.pictures and (complaint.status == 413 or complaint.about_size):
        side = sent.side // 2
        changed = {"side": side} if side >= LEAST_SIDE else None
    elif capabilities.form != "prompt" and re.search(
        r"response_?(format|mime|schema)|json|schema|grammar|guided|structured", about
    ):
        less = {"json_schema": "json_object", "json_object": "prompt"}
        changed = {"form": less[capabilities.form]}
    return capabilities.model_copy(update=changed) if changed else None


def _shorter(complaint: Complaint, sent: Sent, again: bool) -> dict[str, object] | None:
    """The limits on tokens that a complaint names: on the answer, or on prompt and answer. Where it
    names none, or refuses `again` what fits the context that it named, half of what was sent."""
    numbers = complaint.numbers - {sent.tokens}
    if not complaint.about_context:
        below = [n for n in numbers if LEAST_TOKENS <= n < sent.tokens]
        most = max(below, default=sent.tokens // 2) - complaint.says(EXCLUSIVE)
        return {"tokens": most} if most >= LEAST_TOKENS else None
    prompt = max(complaint.prompt_tokens - {sent.tokens}, default=None)
    pairs = [n for n in numbers if n + sent.tokens in numbers]
    if pairs:
        prompt = max(pairs)
    elif complaint.total_tokens == max(numbers, default=0) > sent.tokens:
        prompt = max(numbers) - sent.tokens
    rest = sorted(numbers - {prompt, (prompt or 0) + sent.tokens})
    context = rest[-1] if rest else None
    if prompt is None and len(rest) > 1:
        prompt = rest[-2]
    if context is None or prompt is None or again:
        room = min(sent.tokens, context or sent.tokens) // 2
    else:
        room = min(context - prompt - MARGIN, sent.tokens - 1)
    return {"context": context, "room": room} if room >= LEAST_TOKENS else None
