"""The entry point of every stage: options, locks of the outputs, signals, one-line errors, exit codes.

A section of params.yaml arrives as options that DVC unpacks: `--env_steps 600000`, a list as several
values, null as `None`, a bool as `--flag` or `--no-flag` (DVC's `parsing.bool: boolean_optional`). DVC
gives no option at all for an empty list, so params.yaml says null instead.

A stage stays in the process group of the process that started it: DVC ignores Ctrl-C while a stage
runs and relies on the terminal to signal the stage. `die_with_parent` ends a stage, and each of its
workers, when the process that started it is killed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from reelward.runtime.errors import InputError
from reelward.runtime.explain import explain
from reelward.runtime.locks import lock
from reelward.runtime.processes import die_with_parent
from reelward.runtime.validation import validate
from reelward.runtime.words import show

A = TypeVar("A")

OUTPUT = "output"

Out = Annotated[Path, OUTPUT]
"""Type of an Args field that names an output. The stage locks it while it runs."""


class _Stopped(KeyboardInterrupt):
    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


def run_stage(main: Callable[[A], None], Args: type[A]) -> None:
    """Parse the options into `Args`, lock the outputs, call `main(args)`, exit with its code."""
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    name = Path(sys.argv[0]).stem.replace("__main__", "check")
    code = 0
    try:
        args = parse(Args, sys.argv[1:])
        locks = [lock(path) for path in outputs(args)]
        main(args)
        del locks
    except SystemExit:
        raise
    except BaseException as e:
        code, text = explain(e)
        for line in text.split("\n"):
            show(f"reelward {name}: {line}", sys.stderr)
        for child in multiprocessing.active_children():
            child.kill()
    sys.exit(code)


def _stop(number: int, _frame: types.FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    raise _Stopped(number)


def outputs(args: Any) -> list[Path]:
    """Values of the fields marked `Out`."""
    hints = get_type_hints(type(args), include_extras=True)
    return [getattr(args, n) for n, h in hints.items() if OUTPUT in getattr(h, "__metadata__", ())]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")


def parse(Args: type[A], argv: list[str]) -> A:
    """The options as `Args`, a dataclass. Raises InputError with a line for each option that is
    wrong."""
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    hints = get_type_hints(Args, include_extras=True)
    for name, hint in hints.items():
        required = not hasattr(Args, name)
        flags = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
        if _takes(hint, bool):
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, required=required)
        else:
            several = "+" if _takes(hint, tuple) else None
            parser.add_argument(*flags, nargs=several, required=required)
    texts = vars(parser.parse_args(argv))
    values = {name: _converted(hints[name], text) for name, text in texts.items()}
    if complaints := validate(Args, values):
        raise InputError("\n".join(complaints))
    return Args(**values)


def _takes(hint: Any, kind: type) -> bool:
    """Whether a value of a type such as `Annotated[int, ...] | None` may be of this kind."""
    return kind in (hint, get_origin(hint)) or any(_takes(part, kind) for part in get_args(hint))


def _converted(hint: Any, text: Any) -> Any:
    """The value that an option's text means; the text itself where it means none."""
    if text in ("None", ["None"], "null", ["null"]) and _takes(hint, type(None)):
        return None
    try:
        return TypeAdapter(hint).validate_python(text)
    except ValidationError:
        return text
