"""When a stage runs."""

import signal
import sys

if sys.argv[0] == "-m":  # `python -m flows.NAME` is importing what it needs
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before there is a handler
    from reelward.runtime.processes import stop_in_one_line

    stop_in_one_line(sys.orig_argv[sys.orig_argv.index("-m") + 1].partition(".")[2])
