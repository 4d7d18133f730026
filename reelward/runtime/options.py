"""Options of commands: tyro reads them, and a mistake is one line.

tyro prints a box for each mistake. Its hook for mistakes is internal, so pyproject.toml bounds the
version of tyro.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from types import NoneType
from typing import Any, get_args, get_type_hints

from tyro import _errors
from tyro.conf import DisallowNone, PositionalMetavarFromFieldName
from tyro.extras import SubcommandApp

from reelward.runtime.errors import InputError
from reelward.runtime.validation import expected, nearest, shortened

CONFIG = (DisallowNone, PositionalMetavarFromFieldName)
"""An option that may be left out is `--study STR`, not `--study {None}|STR`."""


def commands(app: SubcommandApp) -> dict[str, Callable[..., Any]]:
    """The functions of an app by the names of their commands."""
    targets = {name: each.target for name, each in app._subcommands.items()}
    return {name: each for name, each in targets.items() if not isinstance(each, SubcommandApp)}


@contextlib.contextmanager
def one_line_mistakes(prog: str, functions: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Raise InputError, in one line, for a mistake in the options that tyro reads within this
    context. `functions` are the commands of the program `prog` by name; a program without commands
    has one function, named ''."""

    def refuse(event: _errors.ParseErrorEvent) -> None:
        words = sys.argv[1:]
        command = words[0] if words and words[0] in functions else ""
        known = functions.get(command)
        text = _mistake(event, words, _options(known) if known else list(functions))
        raise InputError(f"{text}; see: {' '.join(filter(None, (prog, command)))} --help")

    with _errors.on_parse_error(refuse):
        yield


def _mistake(event: _errors.ParseErrorEvent, words: list[str], known: list[str]) -> str:
    """What is wrong with the command line `words`. `known` are its options, or the commands where
    none is named."""
    tokens = getattr(event, "tokens", None) or getattr(event, "unrecognized_tokens", None)
    if tokens:
        return _unknown(tokens[0], known)
    if isinstance(event, _errors.MissingArgs):
        missing = [
            str(each.arg.lowered.metavar) if each.arg.is_positional()
            else f"{each.arg.display_name()} {each.arg.lowered.metavar}"
            for each in event.missing_arguments
        ]  # fmt: skip
        return f"expected {' and '.join(missing)}, got nothing"
    if isinstance(event, _errors.MissingSubcommand):
        return f"expected a command, got nothing; commands: {', '.join(known)}"
    argument = getattr(event, "argument", None)
    if argument is None:
        return shortened(" ".join(getattr(event, "message", "the options do not fit").split()))
    name = argument.display_name().split("/")[0]
    given = _given(name, words)
    wanted = " or ".join(
        expected(kind) for kind in get_args(argument.field.type) or (argument.field.type,)
        if kind is not NoneType
    )  # fmt: skip
    return f"{name}: expected {wanted}, got {shortened(given) if given else 'nothing'}"


def _unknown(token: str, known: list[str]) -> str:
    name, _, _ = token.partition("=")
    near = nearest(name, known, "")
    hint = f" ({near})" if near else ""
    if token.startswith("-"):
        return f"{name}: no such option{hint}"
    if known and not known[0].startswith("-"):
        return f"{name}: no such command{hint or '; commands: ' + ', '.join(known)}"
    return f"{shortened(token)}: one word more than expected; quote a text with spaces"


def _options(function: Callable[..., Any]) -> list[str]:
    """The options of a function, e.g. --as-json."""
    named = []
    hints = get_type_hints(function, include_extras=True)
    for key in signature(function).parameters:
        notes = getattr(hints.get(key), "__metadata__", ())
        own = [name for note in notes if (name := getattr(note, "name", None))]
        named.append("--" + (own or [key])[0].replace("_", "-"))
    return [*named, "--help"]


def _given(name: str, words: list[str]) -> str | None:
    """The value after an option, as it was given."""
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None
