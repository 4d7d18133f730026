"""When a stage runs."""

import os
import signal
import sys

if sys.argv[0] == "-m":  # `python -m flows.NAME` is still importing; flows.command takes over

    def _stop(*_: object) -> None:
        print("reelward: stopped before it began", file=sys.stderr)
        os._exit(130)

    signal.signal(signal.SIGINT, _stop)
