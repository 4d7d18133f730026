"""A flow as a command: `python -m flows.learn`, `python -m flows.grid`.

Prefect takes a second to import and several to start its temporary server, so both come after the
options are read and the flow has said that there is something to do.
"""

from __future__ import annotations

import functools
import logging
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import tyro

from flows import environment
from reelward.runtime.errors import InputError, NetworkError
from reelward.runtime.explain import explain
from reelward.runtime.options import CONFIG, one_line_mistakes
from reelward.runtime.words import show


def run(
    module: str,
    function: Callable[..., None],
    begin: Callable[..., str | None] | None = None,
    closing: Callable[[], str] | None = None,
) -> int:
    """Run `function` as a Prefect flow, with its arguments from the command line. `begin` gets the
    same arguments before Prefect is loaded and may return why there is nothing to do. `closing`
    gives a last line to print after success. Returns the exit code: 0, or that of the error, which
    is printed in one line."""

    def main() -> None:
        values = parsed(module, function)
        environment.for_flow()
        if begin and (reason := begin(**values)):
            show(f"nothing to do: {reason}")
        else:
            _with_prefect(function, values)
        if closing:
            show(closing())

    return guarded(module, main)


def parsed(module: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a function from the command line. Raises InputError."""

    @functools.wraps(function)
    def options(**values: Any) -> dict[str, Any]:
        return values

    prog = f"python -m flows.{module}"
    with one_line_mistakes(prog, {"": function}):
        return tyro.cli(options, prog=prog, config=CONFIG)


def guarded(module: str, main: Callable[[], None]) -> int:
    """Call `main`. Returns the exit code: 0, or that of the error, which is printed in one line."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
        return 0
    except KeyboardInterrupt:
        text, code = "stopped; the same command continues from here", 130
    except Exception as e:
        code, text = explain(e)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would end in a traceback
    text = text if text.startswith("reelward ") else f"reelward {module}: {text}"
    show(text, sys.stderr)
    return code


def _with_prefect(function: Callable[..., None], values: dict[str, Any]) -> None:
    from prefect import flow
    from prefect.settings import PREFECT_API_URL

    for logger in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(logger).addFilter(once)
    if PREFECT_API_URL.value() is None:
        signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGINT}
        )  # until flows.tasks.end_server_with_us
    else:
        check_server()
    flow(name=function.__name__)(function)(**values)


def check_server() -> None:
    """Ask the server that PREFECT_API_URL names. Raises InputError or NetworkError where it is none
    that this flow can report to."""
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL

    url = re.sub("//[^/]*@", "//", str(PREFECT_API_URL.value()))  # without its password
    without = "or do without: unset PREFECT_API_URL"
    try:
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch()
            client.read_flow_runs(limit=1)
    except PrefectHTTPStatusError as e:
        if e.response.status_code in (401, 403):
            raise InputError(
                f"the Prefect server at {url} wants its password; set PREFECT_API_AUTH_STRING, "
                "or for Prefect Cloud PREFECT_API_KEY"
            ) from None
        raise NetworkError(f"{url} answers {e.response.status_code}; {without}") from None
    except (HTTPError, RuntimeError, ValueError, ImportError) as e:
        if isinstance(e, RuntimeError) and "incompatible versions" in str(e):
            raise InputError(f"{url}: {e} Use that version, {without}") from None
        environment.check_proxy(str(PREFECT_API_URL.value()))
        raise NetworkError(f"no Prefect server at {url}; start it: make serve, {without}") from None


REPEATED = re.compile("Encountered exception|Finished in state (Failed|Crashed)|Crash detected")


def once(record: logging.LogRecord) -> bool:
    """Whether to log a record: no traceback, and not the failures that the command's last line
    explains."""
    record.exc_info = None
    return not REPEATED.match(record.getMessage())
