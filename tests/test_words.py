"""What a terminal would obey never reaches it, wherever it comes from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from model_helpers import GOOD, ask, new_chat
from scripted_server import Refusal, Server, completion

from reelward import cli
from reelward.critics import person
from reelward.models.chat import NoAnswer
from reelward.models.server import replaying
from reelward.models.spend import Budget
from reelward.runtime.errors import InputError, StageError
from reelward.runtime.explain import explain
from reelward.runtime.settings import setting
from reelward.runtime.validation import shortened, validate
from reelward.runtime.words import lines
from stages import __main__ as check
from stages.propose import Args

pytest_plugins = ("model_fixtures",)
EVIL = "evil\x1b[31m\x07\rx\nreelward: everything is fine\x85\u2028\u202e\x9b31m"


def harmless(text: str, count: int = 1) -> bool:
    """Whether a text is so many printable lines, of which none is the forged one."""
    rows = text.removesuffix("\n").split("\n")
    return (
        len(rows) == count
        and all(row.isprintable() for row in rows)
        and not any(row.startswith("reelward: everything") for row in rows)
    )


@pytest.mark.parametrize("value", [EVIL, Path(EVIL), [EVIL], {EVIL: EVIL}, "\x7f", "\ud83d"])
def test_a_shortened_value_is_one_printable_line(value: object) -> None:
    assert harmless(shortened(value)) and len(shortened(value)) <= 60


@pytest.mark.usefixtures("project")
def test_the_name_of_the_model_in_a_reply_is_one_line(
    replies: Callable[..., Server], capfd: pytest.CaptureFixture
) -> None:
    replies(completion(GOOD, model=EVIL))
    chat = new_chat()
    ask(chat=chat)
    message = capfd.readouterr().err
    assert message.startswith("reelward: asked scripted, evil\\x1b[31m") and harmless(message)
    assert harmless(chat.exchanges[0].reply.model)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    "turn",
    [
        completion(None, refusal=EVIL),
        completion(f"I'm sorry, I can't. {EVIL}"),
        completion(GOOD[:-1] + ', "criteria": "\x1b[31m"}'),
        Refusal(400, f"<html><title>{EVIL}</title>"),
        Refusal(400, EVIL),
        f"<html>{EVIL}",
    ],
)
def test_an_error_of_a_server_is_one_line(replies: Callable[..., Server], turn: object) -> None:
    replies(turn)
    with pytest.raises((NoAnswer, StageError)) as failed:
        ask()
    assert harmless(str(failed.value)) and harmless(explain(failed.value)[1])


@pytest.mark.parametrize("error", [InputError, FileNotFoundError, ValueError, RuntimeError])
def test_an_explained_error_keeps_our_lines_alone(
    error: type[Exception], capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error(f"first\nsecond {EVIL.replace(chr(10), '')}")

    monkeypatch.setattr(cli.app, "cli", fail)
    with pytest.raises(SystemExit):
        cli.main()
    assert harmless(capfd.readouterr().err, 2 if error is InputError else 1)


def test_keys_and_values_of_files_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = '"evil\\e[31m\\nreelward: everything is fine\\u202e"'
    file = tmp_path / "critiques.yaml"
    file.write_text(f"{quoted}: 1\na: {{{quoted}: {{{quoted}: {quoted}}}}}\n")
    complaints = person.complaints(file)
    assert all(map(harmless, complaints)) and len(complaints) > 7
    complaints = [*validate(Args, {EVIL: EVIL}), *check.complaints({EVIL: {}, "a": EVIL}, {}, "")]
    assert all(map(harmless, complaints)) and len(complaints) > 2
    monkeypatch.chdir(tmp_path)
    Path("local.yaml").write_text(f"{quoted}: 1\n")
    with pytest.raises(InputError) as failed:
        setting("mode")
    assert harmless(str(failed.value))


def test_values_of_settings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, read in (("MODE", replaying), ("PRICES", Budget.from_settings)):
        monkeypatch.setenv(f"REELWARD_{name}", EVIL)
        with pytest.raises(InputError) as failed:
            read()
        assert harmless(str(failed.value))


def test_a_command_line_is_printed_as_escapes() -> None:
    command = (sys.executable, "-m", "reelward.cli", "diff", "\x1b[31m\u202e")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode and "\\x1b[31m" in done.stderr and harmless(done.stderr)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_ends_where_protocols_end_it(end: str) -> None:
    assert lines(f"a\u2028\x85\x0c b{end}c{end}") == ["a\u2028\x85\x0c b", "c", ""]
