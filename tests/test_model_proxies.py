"""Which requests go through a proxy: none to this machine, whatever the environment names."""

from __future__ import annotations

import os
from urllib.request import getproxies, proxy_bypass

import pytest

from reelward.runtime.proxies import direct_to_loopback, proxy_for


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


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
        ({"no_proxy": "*"}, {"no_proxy": ["*"], "NO_PROXY": ["*"]}),
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
