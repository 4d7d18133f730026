"""Every attack of the corpus, as an author that was talked into it would send it: through the
chat call, the parser of answers and the compiler's repair turns, and nothing comes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from language_attacks import ATTACKS, HONEST, MARK
from scripted_server import MODEL, Server

from reelward.authors import llm
from reelward.language import commands, compile_reward
from reelward.models.chat import Chat
from reelward.sim.robot import load_robot

ROOT = Path(__file__).parents[1]
BIPED = load_robot("biped")
MANNERS: dict[str, Callable[[str], str]] = {
    "as asked": lambda code: json.dumps({"note": "n", "reward": code}),
    "in a fence": lambda code: f"Here it is:\n```python\n{code}```\nHave fun!",
}
EMPTY = {"empty": "", "blank": "\n\n", "number": "7", "no terms": "def reward(s):\n    return {}\n"}


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Chat, Server]]:
    """An author's chat with a server whose answers are set by `server.script`. The compiler works
    in this process: what a jail would hide shows here."""

    @cache
    def check(source: str) -> dict[str, Any]:
        return commands.check({"source": source, "fields": [asdict(f) for f in BIPED.fields]})

    def checked(source: str, fields: Any, **_: Any) -> dict[str, Any]:
        return check(source[: commands.MAX_SOURCE + 1])

    (tmp_path / "prompts").symlink_to(ROOT / "prompts")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(llm, "checked", checked)
    with Server("vllm") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("REELWARD_RETRY_SECONDS", "0.01")
        yield Chat("author", MODEL, max_tokens=1000, temperature=None), server


def world() -> tuple[Any, ...]:
    """What no reward may change."""
    names = sorted(p.name for p in Path().iterdir())
    draws = torch.get_rng_state().tolist()
    return names, dict(os.environ), torch.exp, torch.get_default_dtype(), draws


def test_no_attack_becomes_a_reward(author: tuple[Chat, Server]) -> None:
    chat, server = author
    server.script = lambda _: MANNERS["as asked"](HONEST)
    assert llm._written(chat, BIPED, "honest", ()) == (HONEST, "n", None)
    before, meant = world(), compile_reward(HONEST, BIPED.fields).digest
    for i, (name, attack) in enumerate((ATTACKS | EMPTY).items()):
        sent, said = [*MANNERS.values()][i % 2](attack), len(server.calls)
        server.script = lambda _, sent=sent: sent
        source, _, error = llm._written(chat, BIPED, name, ())
        if error is None:  # only a fence was stripped from it
            assert compile_reward(source, BIPED.fields).digest == meant and name == "fence"
        else:
            assert error.startswith(("E_", "malformed: ")), name
        assert len(server.calls) - said <= 1 + llm.REPAIRS, name
        assert not Path(MARK).exists(), name
    assert world() == before
    assert server.faults == []


def test_an_attack_is_put_back_and_an_honest_answer_then_stands(
    author: tuple[Chat, Server],
) -> None:
    chat, server = author
    server.script = lambda call: MANNERS["as asked"](
        HONEST if len(call.texts) > 1 else ATTACKS["import_os"]
    )
    source, _, error = llm._written(chat, BIPED, "attack first", ())
    assert (source, error) == (HONEST, None)
    assert "E_IMPORT line 1" in server.calls[1].texts[-1]
