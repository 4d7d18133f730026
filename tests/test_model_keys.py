"""Keys and addresses of servers: where they come from, and that no key is written anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
from model_helpers import ANSWER, KEY, ask, new_chat
from scripted_server import Server as ScriptedServer
from scripted_server import completion

from reelward.models.server import Server, ready
from reelward.runtime.errors import InputError

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


def test_a_missing_key_is_reported_before_anything_is_sent() -> None:
    for attempt in (lambda: ready("author"), ask):
        with pytest.raises(InputError) as failed:
            attempt()
        assert str(failed.value) == (
            "no key for https://api.openai.com/v1: set OPENAI_API_KEY, or OPENAI_BASE_URL to the "
            "address of another server"
        )
    assert not Path("scratch/spend.jsonl").exists()


def test_each_role_may_have_its_own_server_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    Path("local.yaml").write_text("critic_server: http://localhost:8000/v1/\n")
    critic, author = Server.of("critic"), Server.of("author")
    assert (critic.url, critic.key_name) == ("http://localhost:8000/v1", "REELWARD_CRITIC_KEY")
    assert critic.key.get_secret_value() == ""  # OpenAI's key is not sent to another server
    assert (author.url, author.key.get_secret_value()) == ("https://api.openai.com/v1", KEY)
    assert KEY not in repr(author) and KEY not in str(author) and "***" in repr(author)


@pytest.mark.parametrize(
    "url",
    ["api.openai.com", "file:///etc/passwd", f"https://me:{KEY}@host/v1", f"https://h/v1?k={KEY}"],
)
def test_an_address_holds_no_secret(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(InputError, match="OPENAI_BASE_URL: expected an address") as failed:
        ask()
    assert KEY not in str(failed.value)


def test_a_key_that_the_server_repeats_reaches_no_file(
    replies: Callable[..., ScriptedServer], project: Path
) -> None:
    replies(completion(json.dumps(ANSWER | {"description": f"the key is {KEY}"}), model=KEY))
    chat = new_chat()
    assert ask(chat=chat).description == "the key is ***"
    assert KEY not in chat.record().model_dump_json()
    files = [p for p in (project / "scratch").rglob("*") if p.is_file()]
    assert len(files) >= 2 and not [p for p in files if KEY in p.read_text()]


def test_the_client_makes_no_retries_of_its_own(serve: Callable[..., ScriptedServer]) -> None:
    serve()
    client = Server.of("critic").connect(3.0)
    assert isinstance(client, openai.OpenAI) and client.max_retries == 0


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("sk-abc\u2026xyz", "horizontal ellipsis"), ('"sk-abcdef"', "quotation mark"),
        ("'sk-abcdef'", "apostrophe"), ("sk-abc def", "space"), ("sk-abc\ndef", r"u\+000a"),
        ("\ufeffsk-abc", "zero width no-break space"), ("<your key>", "less-than sign"),
        ("sk-абв", "cyrillic small letter a"), ("sk-\udcff", r"u\+dcff"),
    ],
)  # fmt: skip
def test_a_character_that_no_key_has_is_named(
    serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch, key: str, what: str
) -> None:
    server = serve()
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for attempt in (lambda: ready("critic"), ask):
        with pytest.raises(
            InputError, match=rf"(?i)OPENAI_API_KEY.*no key has \({what}\)"
        ) as failed:
            attempt()
        assert "abc" not in str(failed.value)
    assert server.calls == []


@pytest.mark.parametrize("space", ["\n", "\r\n", "  ", "\t", "\xa0"])
def test_space_around_a_key_is_no_part_of_it(
    serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch, space: str
) -> None:
    server = serve()
    monkeypatch.setenv("OPENAI_API_KEY", f"{space}{KEY}{space}")
    ask()
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
