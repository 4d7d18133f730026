"""The flows as prefect.yaml names them."""

from __future__ import annotations

import logging

from prefect import flow

from flows.grid import study as _study
from flows.learn import learn as _learn
from flows.on_reward import on_reward
from reelward.runtime.explain import FAULT, explain

learn = flow(name="learn")(_learn)
study = flow(name="study")(_study)


def brief(record: logging.LogRecord) -> bool:
    """No traceback in the log for an error that explains itself."""
    error = record.exc_info and record.exc_info[1]
    if error and explain(error)[0] != FAULT:
        record.exc_info = None
    return True


for name in ("prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
    logging.getLogger(name).addFilter(brief)

__all__ = ["learn", "on_reward", "study"]
