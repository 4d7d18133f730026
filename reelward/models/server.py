"""Where a role's model is: address, key, what goes wrong there, and what it has told it cannot do.

A key is read from the environment, held in a type that prints as stars, and struck out of every
text that the server sends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from pydantic import SecretStr

from reelward.runtime import files
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError
from reelward.runtime.settings import setting
from reelward.runtime.validation import shown

SCRATCH = Path("scratch")
KNOWN = SCRATCH / "servers.json"
OPENAI = "https://api.openai.com/v1"
MAX_REPLY = 4 << 20
"""bytes of an answer; more ends the connection"""
MAX_SAID = 300
"""characters of a server's complaint that are passed on"""


@dataclass(frozen=True)
class Able:
    """What a server takes for a model, as far as it has told."""

    form: str = "json_schema"
    pictures: str = "many"
    limit: str = "max_tokens"
    temperature: bool = True


def replaying() -> bool:
    """Whether calls are answered from the store alone (`mode`: live or replay)."""
    mode = setting("mode", "live")
    if mode not in ("live", "replay"):
        raise InputError(f"mode: expected live or replay, got {shown(mode)}")
    return mode == "replay"


def ready(role: str) -> None:
    """Look whether the role's server is there and takes the key, before any work is done that
    would need it. Raises InputError or NetworkError."""
    if replaying():
        return
    server = Server.of(role)
    try:
        server.connect(15.0).models.with_raw_response.list()
    except (openai.AuthenticationError, openai.APIConnectionError) as e:
        raise server.failure(e) from None
    except openai.APIError:
        pass  # it is there; not every server, and not every key, lists models


@dataclass(frozen=True)
class Server:
    """An address and a key, and the names of the settings that say so."""

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
        if not _sound(url):
            raise InputError(
                f"{url_name}: expected an address like {OPENAI}, with no name, key or question mark "
                f"in it; a key belongs into {key_name}"
            )
        key = SecretStr(os.environ.get(key_name, "").strip())
        if not key.get_secret_value() and url == OPENAI:
            raise InputError(
                f"no key for {url}: set {key_name}, or {url_name} to the address of another server"
            )
        return cls(url, key, key_name, url_name)

    def connect(self, seconds: float) -> openai.OpenAI:
        """A client without retries; an answer that takes longer than `seconds` is cut off."""

        def bound(response: httpx2.Response) -> None:
            assert isinstance(response.stream, httpx2.SyncByteStream)
            response.stream = _Cut(response.stream, time.monotonic() + seconds)

        return openai.OpenAI(
            api_key=self.key.get_secret_value() or "none",
            base_url=self.url,
            max_retries=0,
            timeout=httpx2.Timeout(seconds, connect=15.0),
            default_headers={"accept-encoding": "identity"},
            http_client=openai.DefaultHttpxClient(
                event_hooks={"response": [bound]}, follow_redirects=False
            ),
        )

    def clean(self, text: str) -> str:
        """`text` without the key, should the server have echoed it; a word like EMPTY is no key."""
        secret = self.key.get_secret_value()
        return text.replace(secret, "***") if len(secret) >= 12 else text

    def said(self, e: openai.APIStatusError) -> str:
        """The server's own words: some send an object, some a list that holds one."""
        found: Any = e.body if e.body is not None else e.message
        while isinstance(found, list) and found:
            found = found[0]
        for key in ("error", "message"):
            found = found.get(key, found) if isinstance(found, dict) else found
        return " ".join(self.clean(str(found)).split())[:MAX_SAID]

    def failure(self, e: openai.APIError, model: str = "") -> StageError:
        """What a failed request is to its caller, in one line that names address and setting."""
        where = f"{self.url} ({self.url_name})" + f", model {model}" * bool(model)
        if isinstance(e, openai.APIStatusError):
            told = f"{where}: {e.status_code}, {self.said(e)}"
            if e.status_code in (401, 403):
                return InputError(f"{told}; look at the key in {self.key_name}")
            if exhausted(e):
                return ResourceError(f"{told}; what was answered is not paid for twice")
            return (NetworkError if passing(e) else InputError)(told)
        slow = isinstance(e, openai.APITimeoutError)
        why = "no answer in time" if slow else self.clean(str(e.__cause__ or e))
        return NetworkError(f"{where}: {why[:MAX_SAID]}")

    def able(self, model: str) -> Able:
        known = files.read_json(KNOWN) if KNOWN.is_file() else {}
        return Able(**known.get(f"{self.url} {model}", {}))

    def remember(self, model: str, able: Able) -> None:
        known = files.read_json(KNOWN) if KNOWN.is_file() else {}
        files.write_json(KNOWN, known | {f"{self.url} {model}": asdict(able)})


def passing(e: openai.APIStatusError) -> bool:
    """Whether another try may help."""
    later = e.status_code in (408, 409, 429) or e.status_code >= 500 and e.status_code != 501
    return later and not exhausted(e)


def exhausted(e: openai.APIStatusError) -> bool:
    """429 for want of credit, not of patience."""
    return e.status_code == 429 and "insufficient_quota" in str(e.body)


def _sound(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and named and not set(url) & set("@?# \t")


class _Cut(httpx2.SyncByteStream):
    """Ends an answer that is too long, or that drips on past its time."""

    def __init__(self, inner: httpx2.SyncByteStream, deadline: float) -> None:
        self.inner, self.deadline = inner, deadline

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self.inner:
            size += len(chunk)
            if size > MAX_REPLY:
                raise httpx2.ReadError(f"an answer of more than {MAX_REPLY >> 20} MiB")
            if time.monotonic() > self.deadline:
                raise httpx2.ReadTimeout("the answer drips")
            yield chunk

    def close(self) -> None:
        self.inner.close()
