"""Which requests go through a proxy: none to this machine, whatever the environment names."""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.request import getproxies, proxy_bypass

import pytest
from model_helpers import ANSWER, ask
from scripted_server import Server

from reelward.models.server import ready
from reelward.runtime.errors import InputError, NetworkError
from reelward.runtime.proxies import direct_to_loopback, proxy_for

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "host",
    ["localhost", "a.localhost", "127.0.0.1", "127.8.9.1", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_no_proxy_catches_this_machine(
    monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    monkeypatch.setenv(variable, "socks5://10.0.0.1:1080")
    assert proxy_for(f"http://{host}:8000/v1") is None
    assert proxy_for("http://models.lan/v1") == (variable, "socks5://10.0.0.1:1080")


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "https://api.openai.com/v1", True),
        ("example.com", "https://api.openai.com/v1", False),
        ("example.com, openai.com", "https://api.openai.com/v1", True),
        (".openai.com", "https://api.openai.com/v1", True),
        ("*.openai.com", "https://api.openai.com/v1", True),
        ("penai.com", "https://api.openai.com/v1", False),
        ("10.0.0.0/8", "http://10.1.2.3:8000/v1", True),
        ("10.0.0.0/8", "http://11.1.2.3:8000/v1", False),
        ("10.1.2.3:8000", "http://10.1.2.3:8000/v1", True),
        ("10.1.2.3:8001", "http://10.1.2.3:8000/v1", False),
        ("fd00::/8,[fd00::5]", "http://[fd00::5]:8000/v1", True),
        ("", "http://10.1.2.3/v1", False),
    ],
)
def test_hosts_domains_and_networks_are_exempt(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, direct: bool
) -> None:
    monkeypatch.setenv("ALL_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(url) is None) == direct
    assert direct or proxy_for(url) == ("ALL_PROXY", "http://proxy:3128")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"no_proxy": [], "NO_PROXY": []}),
        ({"NO_PROXY": "a.lan, ::1"}, {"no_proxy": ["a.lan"], "NO_PROXY": ["a.lan"]}),
        ({"no_proxy": "a.lan", "NO_PROXY": "b.lan"}, {"no_proxy": ["a.lan"], "NO_PROXY": ["b.lan"]}),
    ],
)  # fmt: skip
def test_loopback_is_exempt_for_every_library(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], kept: dict[str, list[str]]
) -> None:
    """Asks Python's own reading of the variables."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, given.get(name, ""))
    monkeypatch.setenv("HTTP_PROXY", "http://10.0.0.1:3128")
    for _ in range(2):
        direct_to_loopback()
        for name, hosts in kept.items():
            entries = os.environ[name].split(",")
            assert sorted(entries) == sorted({*hosts, "localhost", "127.0.0.1", "::1"})
    assert getproxies()["http"] == "http://10.0.0.1:3128"
    assert proxy_bypass("localhost") and proxy_bypass("127.0.0.1:4200") and proxy_bypass("::1")


def test_where_no_proxy_is_meant_for_anything_nothing_is_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "http://10.0.0.1:3128")
    direct_to_loopback()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "*"
    assert proxy_bypass("localhost") and proxy_bypass("10.0.0.7")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks://127.0.0.1:9/"]
)
def test_a_server_on_this_machine_is_asked_without_a_proxy(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    serve()
    monkeypatch.setenv(variable, proxy)
    ready("critic")
    assert ask().model_dump() == ANSWER


@pytest.mark.parametrize(
    "proxy", ["socks://h:1", "socks4://h:1", "ftp://h:1", "http://[::1", "http://:x"]
)
def test_a_proxy_of_another_kind_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.invalid/v1")
    monkeypatch.setenv("ALL_PROXY", proxy)
    for attempt in (lambda: ready("critic"), ask):
        with pytest.raises(InputError, match="^ALL_PROXY: expected") as failed:
            attempt()
        assert len(str(failed.value).splitlines()) == 1
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    with pytest.raises(NetworkError, match="models.invalid"):
        ready("critic")


def test_a_remote_server_is_asked_through_the_proxy(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.invalid/v1")
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{proxy.server_port}")
    assert ask().model_dump() == ANSWER
    assert proxy.calls[0].headers["host"] == "models.invalid"
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    with pytest.raises(NetworkError, match="through HTTP_PROXY") as failed:
        ask("Again?")
    assert "secret" not in str(failed.value)
