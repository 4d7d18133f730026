"""The environment of flows and of `make serve` on an unkind desk: proxies, ports, other servers,
passwords and what is set for other projects."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import environment, serve
from flows.command import check_server
from reelward.runtime.errors import InputError, NetworkError, ResourceError

REMOTE = "https://prefect.example/api"
PLACE = Path("scratch/prefect")


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment of its own, in a folder that passes for a clone."""
    for name in (".git", "dvc.yaml", "robots", "prompts"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    env = {"PATH": os.environ["PATH"]}
    monkeypatch.setattr(os, "environ", env)
    return env


@contextmanager
def answering(status: int, body: str = "") -> Iterator[str]:
    """The address of a server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api"
    finally:
        server.shutdown()
        server.server_close()


PROXIES = [
    {"HTTP_PROXY": "http://127.0.0.1:9"},
    {"https_proxy": "http://127.0.0.1:9", "http_proxy": "127.0.0.1:9"},
    {"ALL_PROXY": "socks5://127.0.0.1:9"},
    {"ALL_PROXY": "socks://127.0.0.1:9/", "NO_PROXY": "127.0.0.1,localhost"},
    {"all_proxy": "socks5h://127.0.0.1:9", "no_proxy": "intranet.example"},
    {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "*"},
    {"HTTP_PROXY": "nonsense://", "ALL_PROXY": "http://[::1"},
]


@pytest.mark.parametrize("proxies", PROXIES)
@pytest.mark.parametrize("named", [False, True])
def test_this_machine_is_reached_without_a_proxy(
    env: dict[str, str], proxies: dict[str, str], named: bool
) -> None:
    with answering(200, "true") as url:
        env |= proxies | ({"PREFECT_API_URL": url} if named else {})
        environment.for_flow()
        assert httpx.get(f"{url}/health", verify=False).json() is True
    outside = environment.outward()
    assert {name: outside[name] for name in proxies if "no_proxy" not in name.lower()} == {
        name: value for name, value in proxies.items() if "no_proxy" not in name.lower()
    }
    hosts = outside["NO_PROXY"].split(",")
    assert (hosts == ["*"]) == (proxies.get("NO_PROXY") == "*")
    assert hosts == ["*"] or "127.0.0.1" in hosts and "*" not in hosts
    assert outside["no_proxy"] == outside["NO_PROXY"]
    assert ("intranet.example" in hosts) == ("no_proxy" in proxies)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "socks://proxy.example:1"),
        ("https_proxy", "ftp://proxy.example"),
        ("ALL_PROXY", "socks5://proxy.example:1"),
    ],
)
def test_a_proxy_for_a_remote_server_that_fails_is_named(
    env: dict[str, str], variable: str, value: str
) -> None:
    env |= {"PREFECT_API_URL": REMOTE, variable: value}
    environment.for_flow()
    with (
        temporary_settings({PREFECT_API_URL: REMOTE}),
        pytest.raises(InputError, match=f"^{variable}: expected a proxy such as http://") as error,
    ):
        check_server()
    assert "\n" not in str(error.value)
    env["NO_PROXY"] = env["no_proxy"] = ".example"
    environment.for_flow()
    httpx.Client().close()  # Prefect's client reads these variables


@pytest.mark.parametrize(
    ("status", "body", "error", "line"),
    [
        (401, "", InputError, "wants its password; set PREFECT_API_AUTH_STRING"),
        (404, "", NetworkError, "no Prefect server at http"),
        (200, "<html>", NetworkError, "no Prefect server at http"),
        (200, '"99.0.0"', InputError, "incompatible versions"),
    ],
)
def test_another_server_than_prefects_is_named(
    status: int, body: str, error: type[Exception], line: str
) -> None:
    with answering(status, body) as url, temporary_settings({PREFECT_API_URL: url}):
        with pytest.raises(error, match=line) as raised:
            check_server()
    assert "unset PREFECT_API_URL" in str(raised.value) or "PASSWORD" in line.upper()


@pytest.mark.parametrize("url", ["foo", "127.0.0.1:4200", "http://", "ftp://a/api", "http://a:b/c"])
def test_what_is_no_address_is_refused(env: dict[str, str], url: str) -> None:
    env["PREFECT_API_URL"] = url
    with pytest.raises(InputError, match="^PREFECT_API_URL: expected an address such as http://"):
        environment.for_flow()


def test_no_password_of_an_address_is_printed(env: dict[str, str]) -> None:
    env["PREFECT_API_URL"] = "ftp://ann:secret@a/api"
    with pytest.raises(InputError) as bad:
        environment.for_flow()
    with temporary_settings({PREFECT_API_URL: "http://ann:secret@127.0.0.1:9/api"}):
        with pytest.raises(NetworkError) as gone:
            check_server()
    assert "secret" not in f"{bad.value} {gone.value}"


def test_settings_for_other_projects_do_not_matter(env: dict[str, str], tmp_path: Path) -> None:
    env |= {
        "PREFECT_HOME": "/proc/none", "PREFECT_PROFILE": "work", "PREFECT_API_URL": "",
        "PREFECT_SERVER_API_PORT": "abc", "PREFECT_SERVER_API_AUTH_STRING": "a:b",
        "PREFECT_LOGGING_LEVEL": "loud",
        "PREFECT_CLIENT_CUSTOM_HEADERS": "{", "prefect_api_url": REMOTE, "DVC_ROOT": "/none", "DVC_STAGE": "train@iter-00",
    }  # fmt: skip
    environment.for_flow()
    assert env["PREFECT_HOME"] == str(tmp_path / PLACE)
    assert env["PREFECT_API_AUTH_STRING"] == env["PREFECT_SERVER_API_AUTH_STRING"] != "a:b"
    left = {
        "PREFECT_PROFILE",
        "PREFECT_LOGGING_LEVEL",
        "PREFECT_CLIENT_CUSTOM_HEADERS",
        "PREFECT_SERVER_API_PORT",
        "prefect_api_url",
        "PREFECT_API_URL",
    }
    assert not (left | {"DVC_ROOT", "DVC_STAGE"}) & env.keys()


def test_a_password_is_made_once_and_kept_for_this_user(env: dict[str, str]) -> None:
    environment.for_server(4311)
    password = env["PREFECT_SERVER_API_AUTH_STRING"]
    assert password == env["PREFECT_API_AUTH_STRING"] and len(password) > 30
    assert environment.PROFILES.stat().st_mode & 0o777 == 0o600
    assert PLACE.stat().st_mode & 0o777 == 0o700
    environment.for_server(4312)
    assert env["PREFECT_SERVER_API_AUTH_STRING"] == password
    assert (
        env["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4312,http://localhost:4312"
    )


@pytest.mark.parametrize("variable", ["PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"])
@pytest.mark.parametrize("password", ["ann:secret", 'q"\\uote:\u00fcml\u00e4ut', "x"])
def test_the_users_password_is_taken(env: dict[str, str], variable: str, password: str) -> None:
    env[variable] = password
    environment.for_server(4311)
    assert env["PREFECT_SERVER_API_AUTH_STRING"] == env["PREFECT_API_AUTH_STRING"] == password
    assert environment.kept_password() == password


def test_two_passwords_are_refused(env: dict[str, str]) -> None:
    env |= {"PREFECT_SERVER_API_AUTH_STRING": "a:b", "PREFECT_API_AUTH_STRING": "a:c"}
    with pytest.raises(InputError, match="expected the same password, got two; unset one") as error:
        environment.for_server(4311)
    assert "a:b" not in str(error.value)


def test_the_password_goes_to_this_machine_only(env: dict[str, str]) -> None:
    environment.for_server(4311)
    password = env["PREFECT_API_AUTH_STRING"]
    for url, there in (("http://127.0.0.1:4311/api", True), ("http://localhost:1/api", True),
                       (REMOTE, False), ("http://127.0.0.1.example/api", False)):  # fmt: skip
        env.pop("PREFECT_API_AUTH_STRING", None)
        env["PREFECT_API_URL"] = url
        environment.for_flow()
        assert (env.get("PREFECT_API_AUTH_STRING") == password) is there
    environment.PROFILES.write_text("active = 3")
    env["PREFECT_API_URL"] = "http://127.0.0.1:4311/api"
    with pytest.raises(InputError, match="profiles.toml: expected the server's password; delete"):
        env.pop("PREFECT_API_AUTH_STRING", None)
        environment.for_flow()


@pytest.mark.parametrize("port", ["abc", "-1", "70000", "42.0", "\u0664", "4200 4201"])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(InputError, match="^PREFECT_SERVER_API_PORT: expected a number from 1"):
        serve.listen(port)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_refused_before_anything_is_written(
    env: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["serve"])
    with socket.socket() as other:
        other.bind((host, 0))
        other.listen()
        port = env["PREFECT_SERVER_API_PORT"] = str(other.getsockname()[1])
        taken = f"port {port} is taken by process {os.getpid()} .*; set PREFECT_SERVER_API_PORT to"
        with pytest.raises(ResourceError, match=taken):
            serve.run()
    assert not Path("scratch").exists()


def test_help_starts_nothing(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["serve", "--help"])
    with pytest.raises(SystemExit):
        serve.run()
    assert "PREFECT_SERVER_API_PORT" in capsys.readouterr().out
    assert not Path("scratch").exists()
