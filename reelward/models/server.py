"""The server of a role's model: its address, its key, and its errors.

A key is read from the environment, held in a type that prints as stars, and removed from every
text that the server sends.
"""

from __future__ import annotations

import difflib
import json
import os
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import openai
from pydantic import SecretStr

from reelward.models.complaints import MAX_COMPLAINT, Complaint, complaint
from reelward.models.connection import CONNECT_SECONDS, connect
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError
from reelward.runtime.proxies import proxy_for
from reelward.runtime.settings import setting
from reelward.runtime.validation import shortened
from reelward.runtime.words import one_line

OPENAI = "https://api.openai.com/v1"
MODELS = 8
"""names of models in a message"""


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
    except openai.APIConnectionError as e:
        raise server.failure(e) from None
    except openai.AuthenticationError as e:
        raise server.refusal(server.complaint(e)) from None
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
        url = str(own or os.environ.get("OPENAI_BASE_URL") or OPENAI).strip()
        url = url.rstrip("/").removesuffix("/chat/completions").rstrip("/")
        if not _is_address(url):
            raise InputError(
                f"{url_name}: expected an address like {OPENAI}, with no user name, key or question "
                f"mark in it; a key belongs into {key_name}"
            )
        key = _key(key_name)
        if not key.get_secret_value() and url == OPENAI:
            raise InputError(
                f"no key for {url}: set {key_name}, or {url_name} to the address of another server"
            )
        return cls(url, key, key_name, url_name)

    def connect(self, seconds: float) -> openai.OpenAI:
        """A client whose replies may take `seconds` each."""
        return connect(self.url, self.key.get_secret_value(), seconds)

    def without_key(self, text: str) -> str:
        """`text` with stars for the key, in case the server repeats it. A short word like EMPTY,
        as local servers take it, is no secret."""
        secret = self.key.get_secret_value()
        return text.replace(secret, "***") if len(secret) >= 12 else text

    def complaint(self, e: openai.APIStatusError, sent: Sequence[str] = ()) -> Complaint:
        """What the server refuses, without the key and the texts that were sent."""
        text = self.without_key(e.response.text)
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = text
        if e.response.is_redirect:
            to = self.without_key(e.response.headers.get("location", "another address"))
            body = f"a redirection to {to}"
        return complaint(e.status_code, body, e.response.headers, sent=sent)

    def refusal(self, complaint: Complaint, model: str = "") -> StageError:
        """A refusal as an error of one line that names the address and its setting."""
        text = f"{self._where(model)}: {complaint.status}, {complaint.message}"
        if complaint.out_of_credit or complaint.out_of_quota:
            when = f"; free again {moment(complaint.wait)}" if complaint.wait else ""
            return ResourceError(
                f"{text}{when}; answers that came are stored and not paid for again"
            )
        if complaint.transient:
            return NetworkError(text)
        if complaint.status == 403 and complaint.message.startswith("a web page"):
            text += "; does a firewall or a proxy answer in place of the server?"
        elif complaint.status in (401, 403) or complaint.about_key:
            text += f"; check the key in {self.key_name}"
        elif complaint.status in (301, 302, 307, 308):
            text += f"; set {self.url_name} to the address that answers itself"
        elif complaint.about_model or complaint.status in (404, 405):
            text += self._hint(model, complaint.about_model)
        return InputError(text)

    def _hint(self, model: str, about_model: bool) -> str:
        """What to do about an unknown model, or an unknown address."""
        models = self.models()
        if model and models and model not in models:
            near = difflib.get_close_matches(model, models, MODELS, 0.4)
            names = [*near, *(name for name in models if name not in near)]
            more = f", and {len(models) - MODELS} more" if len(models) > MODELS else ""
            return f"; it serves {', '.join(names[:MODELS])}{more}"
        if about_model:
            return ""
        return f"; is the address right? {self.url_name} is one like {OPENAI}"

    def models(self) -> list[str]:
        """The names of the models that the server lists; empty where it lists none."""
        try:
            response = self.connect(CONNECT_SECONDS).models.with_raw_response.list()
            models = json.loads(response.http_response.content)["data"]
            return [one_line(model["id"], 100) for model in models][:1000]
        except (openai.APIError, ValueError, KeyError, TypeError, RecursionError):
            return []

    def failure(
        self, e: openai.APIConnectionError, model: str = "", seconds: float | None = None
    ) -> NetworkError:
        """A request without a response as an error of one line. `seconds` are those that the setting
        call_seconds gave it."""
        if isinstance(e.__cause__, httpx2.ConnectTimeout) or (
            seconds is None and isinstance(e, openai.APITimeoutError)
        ):
            why = f"no answer within {CONNECT_SECONDS:g} s"
        elif isinstance(e, openai.APITimeoutError):
            why = (
                f"no answer in time, call_seconds = {seconds:g}; raise it in local.yaml or "
                "REELWARD_CALL_SECONDS"
            )
        else:
            why = one_line(self.without_key(str(e.__cause__ or e)))
        return NetworkError(f"{self._where(model)}: {why[:MAX_COMPLAINT]}")

    def _where(self, model: str) -> str:
        proxy = proxy_for(self.url)
        through = f" through {proxy.variable}" if proxy else ""
        return f"{self.url} ({self.url_name}){through}" + (f", model {model}" if model else "")


def moment(wait: float) -> str:
    """The moment after `wait` seconds, in words."""
    minutes = round(wait / 60)
    span = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return f"in {span}, at {time.strftime('%H:%M on %d %B', time.localtime(time.time() + wait))}"


def _key(name: str) -> SecretStr:
    """The key in an environment variable. Raises InputError for a character that no key has: it
    comes from a text that was pasted, and no header can carry it."""
    key = os.environ.get(name, "").strip()
    for character in key:
        if not "!" <= character <= "~" or character in "\"'`<>":
            what = unicodedata.name(character, f"U+{ord(character):04X}").lower()
            raise InputError(f"{name} holds a character that no key has ({what}); copy it again")
    return SecretStr(key)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0 and bool(httpx2.URL(url).host)
    except (ValueError, httpx2.InvalidURL):
        return False
    return parts.scheme in ("http", "https") and has_host and not set(url) & set("@?# \t")
