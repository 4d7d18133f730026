"""The stages: one file each, `python -m stages.NAME --help`."""

import os

from reelward import stage

if "DVC_STAGE" in os.environ:
    stage.die_with_parent()  # before the seconds in which a stage imports what it needs
