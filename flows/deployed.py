"""The flows as prefect.yaml names them."""

from __future__ import annotations

from prefect import flow

from flows.grid import study as _study
from flows.learn import learn as _learn
from flows.on_reward import on_reward

learn = flow(name="learn")(_learn)
study = flow(name="study")(_study)

__all__ = ["learn", "on_reward", "study"]
