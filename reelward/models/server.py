"""The server of a role's model: address, key, capabilities, and what its errors mean.

A key is read from the environment, held in a type that prints as stars, and removed from every
text that the server sends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
import openai
from pydantic import SecretStr, TypeAdapter, ValidationError

from reelward.records import Record
from reelward.runtime import files
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError
from reelward.runtime.settings import setting
from reelward.runtime.validation import shortened

SCRATCH = Path("scratch")
CAPABILITIES = SCRATCH / "servers.json"
OPENAI = "https://api.openai.com/v1"
CONNECT_SECONDS = 15.0
MAX_REPLY = 4 << 20
"""bytes of a reply; a longer one ends the connection"""
MAX_COMPLAINT = 300
"""characters of a server's error message that are passed on"""


class Capabilities(Record):
    """What a server accepts for a model, as far as its errors have shown."""

    form: Literal["json_schema", "json_object", "prompt"] = "json_schema"
    """how it is asked for JSON; `prompt` is in words alone"""
    pictures: Literal["many", "one"] = "many"
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True


_KNOWN = TypeAdapter(dict[str, Capabilities])


def replaying() -> bool:
    """Whether calls are answered from the store alone (`mode`: live or replay)."""
    mode = setting("mode", "live")
    if mode not in ("live", "replay"):
        raise InputError(f"mode: expected live or replay, got {shortened(mode)}")
    return mode == "replay"


def ready(role: str) -> None:
    """Check that the role's server answers and accepts the key, before work that needs it. Raises
    InputError or NetworkError."""
    if replaying():
        return
    server = Server.of(role)
    try:
        server.connect(CONNECT_SECONDS).models.with_raw_response.list()
    except (openai.AuthenticationError, openai.APIConnectionError) as e:
        raise server.failure(e) from None
    except openai.APIError:
        pass  # it answers; not every server, and not every key, lists models


@dataclass(frozen=True)
class Server:
    """An address and a key, and the names of the settings that they come from."""

    url: str
    key: SecretStr
    key_name: str
    url_name: str

    @classmethod
    def of(cls, role: str) -> Server:
        """The role's own server (`critic_server` and REELWARD_CRITIC_KEY), or the one for all."""
        own = setting(f"{role}_server")
        key_name = f"REELWARD_{role.upper()}_KEY" if own else "OPENAI_API_KEY"
        url_name = f"REELWARD_{role.upper()}_SERVER" if own else "OPENAI_BASE_URL"
        url = str(own or os.environ.get("OPENAI_BASE_URL") or OPENAI).strip().rstrip("/")
        if not _is_address(url):
            raise InputError(
                f"{url_name}: expected an address like {OPENAI}, with no user name, key or question "
                f"mark in it; a key belongs into {key_name}"
            )
        key = SecretStr(os.environ.get(key_name, "").strip())
        if not key.get_secret_value() and url == OPENAI:
            raise InputError(
                f"no key for {url}: set {key_name}, or {url_name} to the address of another server"
            )
        return cls(url, key, key_name, url_name)

    def connect(self, seconds: float) -> openai.OpenAI:
        """A client without retries; a reply that takes longer than `seconds` is cut off."""

        def bound(response: httpx2.Response) -> None:
            assert isinstance(response.stream, httpx2.SyncByteStream)
            response.stream = _BoundedStream(response.stream, time.monotonic() + seconds)

        return openai.OpenAI(
            api_key=self.key.get_secret_value() or "none",
            base_url=self.url,
            max_retries=0,
            timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS),
            default_headers={"accept-encoding": "identity"},
            http_client=openai.DefaultHttpxClient(
                event_hooks={"response": [bound]}, follow_redirects=False
            ),
        )

    def without_key(self, text: str) -> str:
        """`text` with stars for the key, in case the server repeats it. A short word like EMPTY,
        as local servers take it, is no secret."""
        secret = self.key.get_secret_value()
        return text.replace(secret, "***") if len(secret) >= 12 else text

    def complaint(self, e: openai.APIStatusError) -> str:
        """The server's error message, from an object or from a list that holds one."""
        message: Any = e.body if e.body is not None else e.message
        while isinstance(message, list) and message:
            message = message[0]
        for key in ("error", "message"):
            message = message.get(key, message) if isinstance(message, dict) else message
        return " ".join(self.without_key(str(message)).split())[:MAX_COMPLAINT]

    def failure(self, e: openai.APIError, model: str = "") -> StageError:
        """A failed request as an error of one line that names the address and its setting."""
        where = f"{self.url} ({self.url_name})" + (f", model {model}" if model else "")
        if isinstance(e, openai.APIStatusError):
            text = f"{where}: {e.status_code}, {self.complaint(e)}"
            if e.status_code in (401, 403):
                return InputError(f"{text}; check the key in {self.key_name}")
            if out_of_credit(e):
                return ResourceError(f"{text}; answers that came are stored and not paid for again")
            return NetworkError(text) if transient(e) else InputError(text)
        timeout = isinstance(e, openai.APITimeoutError)
        why = "no answer in time" if timeout else self.without_key(str(e.__cause__ or e))
        return NetworkError(f"{where}: {why[:MAX_COMPLAINT]}")

    def capabilities(self, model: str) -> Capabilities:
        return _known().get(f"{self.url} {model}", Capabilities())

    def remember(self, model: str, capabilities: Capabilities) -> None:
        known = _known() | {f"{self.url} {model}": capabilities}
        files.write_json(CAPABILITIES, _KNOWN.dump_python(known, mode="json"))


def transient(e: openai.APIStatusError) -> bool:
    """Whether another attempt may succeed."""
    if e.status_code in (408, 409, 429):
        return not out_of_credit(e)
    return e.status_code >= 500 and e.status_code != 501


def out_of_credit(e: openai.APIStatusError) -> bool:
    """A 429 that no waiting mends."""
    return e.status_code == 429 and "insufficient_quota" in str(e.body)


def _known() -> dict[str, Capabilities]:
    """What is known of every server and model; a damaged file is nothing known."""
    try:
        return _KNOWN.validate_json(CAPABILITIES.read_bytes())
    except (FileNotFoundError, ValidationError):
        return {}


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and has_host and not set(url) & set("@?# \t")


class _BoundedStream(httpx2.SyncByteStream):
    """Ends a reply that is too long or takes too long."""

    def __init__(self, inner: httpx2.SyncByteStream, deadline: float) -> None:
        self.inner, self.deadline = inner, deadline

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self.inner:
            size += len(chunk)
            if size > MAX_REPLY:
                raise httpx2.ReadError(f"an answer of more than {MAX_REPLY >> 20} MiB")
            if time.monotonic() > self.deadline:
                raise httpx2.ReadTimeout("the answer takes too long")
            yield chunk

    def close(self) -> None:
        self.inner.close()
