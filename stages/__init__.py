"""The stages: one file each, `python -m stages.NAME --help`."""

import os
import signal
import sys
from pathlib import Path

if sys.argv[0] == "-m":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before there is a handler

from reelward.runtime.processes import die_with_parent, stop_in_one_line
from reelward.runtime.words import show

if sys.argv[0] == "-m":  # `python -m stages.NAME` is importing what it needs, which takes seconds
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    stop_in_one_line(module.partition(".")[2] or "check")

if "DVC_STAGE" in os.environ:
    die_with_parent()  # before the seconds in which a stage imports what it needs

if sys.argv[0] == "-m" and {"-h", "--help"} & set(sys.argv):  # likewise
    from reelward.usage import usage

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... --help | head` ends quietly
    file = module.partition(".")[2] or "__main__"
    show(usage(Path(__file__).with_name(f"{file}.py"), module))
    sys.exit()
