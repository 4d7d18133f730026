"""Publish the report of a commit after a reward was selected.

The flow that selected it may already run the next iteration. So the page is taken from DVC's cache as
it was committed, and the working tree is not touched.
"""

from __future__ import annotations

import re
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.dvc_cli import dvc
from flows.show import slug
from reelward.runtime.files import new_file
from reelward.runtime.validation import shortened
from reelward.studies.git import StudyError
from reelward.studies.study import require_name, short


@task(task_run_name="publish {commit}", cache_policy=NO_CACHE)
def publish(commit: str, out: Path) -> None:
    with new_file(out) as folder:
        dvc(
            "get", ".", "report", "--rev", commit, "--out", str(folder), "--force",
            say=get_run_logger().info,
        )  # fmt: skip


def place(site: Path, study: str) -> Path:
    """The folder of a study's report, which is replaced as a whole. Raises StudyError where an event
    names what is no study or leads out of `site`."""
    require_name(study)
    out = site / study
    if out.resolve() != site.resolve() / study:
        raise StudyError(f"{out} leads to {out.resolve()}; remove it")
    return out


@flow(name="on-reward")
def on_reward(study: str, iteration: str, commit: str, site: str = "scratch/site") -> None:
    """Publish the report of a commit as site/STUDY.

    Args:
        study: The study's name.
        iteration: The last iteration in the report.
        commit: The id of the study's commit.
        site: The folder to write to, for example that of a web server.
    """
    study = short(study)
    for value, form, words in (
        (iteration, "iter-[0-9]+", "iteration: expected iter-NN"),
        (commit, "[0-9a-f]{7,64}", "commit: expected its id"),
    ):
        if not re.fullmatch(form, value):
            raise StudyError(f"{words}, got {shortened(value)}")
    out = place(Path(site), study)
    publish(commit, out)
    page = (out / "index.html").absolute()
    create_markdown_artifact(
        key=f"report-{slug(study)}", description=f"the report up to {iteration}",
        markdown=f"{iteration} of {study}, commit `{commit}`: `{page}`",
    )  # fmt: skip
