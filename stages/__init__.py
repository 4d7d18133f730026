"""The stages: one file each, `python -m stages.NAME --help`."""

import os

from reelward.runtime.processes import die_with_parent

if "DVC_STAGE" in os.environ:
    die_with_parent()  # before the seconds in which a stage imports what it needs
