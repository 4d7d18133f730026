"""When a stage runs."""

import sys

if sys.argv[0] == "-m":  # `python -m flows.NAME` is importing what it needs
    from reelward.runtime.processes import stop_in_one_line

    stop_in_one_line(sys.orig_argv[sys.orig_argv.index("-m") + 1].partition(".")[2])
