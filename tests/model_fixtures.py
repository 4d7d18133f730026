"""Fixtures of the tests with models: an empty project folder and a scripted server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from model_helpers import GOOD, KEY, ROOT
from scripted_server import Call, Server, helpful

from reelward.authors import llm
from reelward.checking import RewardCheck, tried
from reelward.language.native import Settings, native_terms
from reelward.sim.robot import Robot
from stages import rewards


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: prompts and robots, no results, no settings in the environment."""
    proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    names = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "REELWARD_MODE", *map(str.upper, proxies))
    for name in (*names, *proxies):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REELWARD_RETRY_SECONDS", "0.01")
    for name in ("prompts", "robots"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts a scripted server and makes it the server of all roles."""
    servers: list[Server] = []

    def start(personality: str = "ollama", script: Any = lambda call: GOOD) -> Server:
        server = Server(personality, script, key=KEY if personality == "openai" else None)
        servers.append(server.__enter__())
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def serve_script(serve: Callable[..., Server]) -> Callable[..., Server]:
    """Starts a server that takes one picture and answers by a script."""
    return lambda script=helpful: serve("vllm", script)


@pytest.fixture
def replies(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    """Starts a server that sends the given bodies and refusals in turn; the last one repeats."""

    def start(*turns: Any) -> Server:
        remaining = list(turns)

        def respond(_: Call) -> Any:
            turn = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            if isinstance(turn, Exception):
                raise turn
            return turn

        server = serve()
        monkeypatch.setattr(server, "as_ollama", respond)
        return server

    return start


@pytest.fixture
def unjailed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler and the trial run in this process: a jail takes seconds to build."""

    def checked(source: str, robot: Robot, native: Settings) -> RewardCheck:
        return tried(source, robot.fields, [], native_terms(native))

    def checked_all(sources: Sequence[str], robot: Robot, native: Settings) -> list[RewardCheck]:
        return [checked(source, robot, native) for source in sources]

    monkeypatch.setattr(llm, "checked", checked)
    monkeypatch.setattr(rewards, "checked_all", checked_all)
