"""What every stage's entry point does: options, locks, signals, exit codes, one-line errors.

A section of params.yaml arrives as flags unpacked by DVC: `--env_steps 600000`, lists as several
values, null as `None`; an empty list gives no flag, so use null. A bool arrives as `--flag` or
`--no-flag`, which needs `parsing.bool: boolean_optional` in DVC's configuration.

A stage stays in the process group of whoever started it: DVC ignores Ctrl-C while a stage runs and
relies on the terminal to reach the stage too. What must not survive its parent dies by
`die_with_parent`, in the stage and in each of its workers.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import re
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from reelward.runtime.errors import InputError
from reelward.runtime.explain import explain
from reelward.runtime.locks import lock
from reelward.runtime.processes import die_with_parent
from reelward.runtime.validation import validate

A = TypeVar("A")

OUTPUT = "output"

Out = Annotated[Path, OUTPUT]
"""type of an Args field that names an output: the stage holds its lock while it runs"""


class _Stopped(KeyboardInterrupt):
    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


def run_stage(main: Callable[[A], None], Args: type[A]) -> None:
    """Entry point of a stage: parse, check, lock the outputs, `main(args)`, exit with its code."""
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    name = Path(sys.argv[0]).stem.replace("__main__", "check")
    code = 0
    try:
        args = _parse(Args, sys.argv[1:])
        held = [lock(path) for path in outputs(args)]
        main(args)
        del held
    except SystemExit:
        raise
    except BaseException as e:
        code, text = explain(e)
        for line in text.splitlines():
            print(f"reelward {name}: {line}", file=sys.stderr)
        for child in multiprocessing.active_children():
            child.kill()
    sys.exit(code)


def _stop(number: int, _frame: types.FrameType | None) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_DFL)
    raise _Stopped(number)


def outputs(args: Any) -> list[Path]:
    """Values of the fields marked `Out`."""
    hints = get_type_hints(type(args), include_extras=True)
    return [getattr(args, n) for n, h in hints.items() if OUTPUT in getattr(h, "__metadata__", ())]


def _parse(Args: type[A], argv: list[str]) -> A:
    for name, hint in get_type_hints(Args).items():
        if hint is bool:  # tyro wants a value where DVC gives --flag or --no-flag
            dash = name.replace("_", "-")
            names = {f"--{name}": "True", f"--{dash}": "True"}
            names |= {f"--no-{name}": "False", f"--no-{dash}": "False"}
            argv = [p for a in argv for p in ((f"--{name}", names[a]) if a in names else (a,))]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            args = tyro.cli(Args, args=argv, description=sys.modules[Args.__module__].__doc__)
    except SystemExit as e:
        if not e.code:
            raise
        _, _, box = said.getvalue().partition("\n")
        text = " ".join(re.sub("[│╭╮╰╯─]", " ", box).split())
        raise InputError(text.partition(" For full helptext")[0] + "; see --help") from None
    if complaints := validate(Args, {n: getattr(args, n) for n in get_type_hints(Args)}):
        raise InputError("\n".join(complaints))
    return args
