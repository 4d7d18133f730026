"""A flow as a command: `python -m flows.learn`, `python -m flows.grid`.

Prefect takes a second to import and several to start its temporary server, so both come after the
options are read and the flow has said that there is something to do.
"""

from __future__ import annotations

import functools
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

import tyro

from reelward.runtime.errors import NetworkError
from reelward.runtime.explain import explain


def run(
    module: str,
    function: Callable[..., None],
    begin: Callable[..., str | None] | None = None,
) -> int:
    """Run `function` as a Prefect flow, with its arguments from the command line. `begin` gets the
    same arguments before Prefect is loaded and may return why there is nothing to do. Returns the exit code: 0, or that of the
    error, which is printed in one line."""

    @functools.wraps(function)
    def options(**values: Any) -> dict[str, object]:
        return values

    try:
        values: dict[str, object] = tyro.cli(options, prog=f"python -m flows.{module}")
        if begin and (reason := begin(**values)):
            print(f"nothing to do: {reason}")
        else:
            _with_prefect(function, values)
        return 0
    except KeyboardInterrupt:
        text, code = "stopped; the same command continues from here", 130
    except Exception as e:
        code, text = explain(e)
    text = text if text.startswith("reelward ") else f"reelward {module}: {text}"
    print(text, file=sys.stderr)
    return code


def _with_prefect(function: Callable[..., None], values: dict[str, object]) -> None:
    from prefect import flow
    from prefect.settings import PREFECT_API_URL

    for logger in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(logger).addFilter(_OneLine())
    url = PREFECT_API_URL.value()
    if url is None:
        signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGINT}
        )  # until flows.tasks.end_server_with_us
    try:
        flow(name=function.__name__)(function)(**values)
    except RuntimeError as e:
        if str(e).startswith("Failed to reach API"):
            raise NetworkError(
                f"no Prefect server at {url}; start it: make serve, or do without: "
                "unset PREFECT_API_URL"
            ) from None
        raise


class _OneLine(logging.Filter):
    """Drops the traceback of a failed stage, whose own line says why it failed."""

    def filter(self, record: logging.LogRecord) -> bool:
        from flows.dvc_cli import DvcError

        if record.exc_info and isinstance(record.exc_info[1], DvcError):
            record.exc_info = None
        return True
