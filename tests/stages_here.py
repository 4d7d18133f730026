"""All stages of a study in this process: sixteen processes that each load torch take longer than a tiny
study's work."""

from __future__ import annotations

import shlex
from importlib import import_module

import networkx
from dvc.repo import Repo

from reelward.runtime.entry import parse


def run_stages() -> list[str]:
    """Run every stage of the pipeline in the working directory, in DVC's order, each by its command's
    options. Returns their names. `dvc commit` then records what they read and wrote."""
    with Repo() as repo:
        stages = list(networkx.dfs_postorder_nodes(repo.index.graph))
    for stage in stages:
        python, flag, name, *options = shlex.split(stage.cmd)
        assert (python, flag) == ("python", "-m")
        module = import_module("stages.__main__" if name == "stages" else name)
        module.main(parse(module.Args, options))
    return [stage.addressing for stage in stages]
