"""What a person is asked, and where the answers are kept: in files of the study, never in Prefect.

approval   before an iteration is trained. To reject its rewards is to write why beside it in
           loop.yaml: none of them is trained, the parent's best stays, an author that is a model
           reads the reason.
critique   after it was filmed, where the study's critic is a person: the words go to the file
           that params.yaml names.

Who answers in these files instead, and runs `dvc repro`, gets the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from prefect import get_run_logger, pause_flow_run
from prefect.input import RunInput

from flows.show import REWARDS, difference, slug
from reelward.critics.person import Entry
from reelward.runtime.files import read_json, write_text
from reelward.runtime.validation import read_yaml
from reelward.studies import ledger
from reelward.studies.git import StudyError
from reelward.studies.settings import PARAMS
from reelward.studies.study import EXAMPLE, LEDGER

PATIENCE = 30 * 24 * 3600
"""s that an answer may take"""
POLL = 1
"""s between two looks for it"""


class Approval(RunInput):
    approve: bool = True
    why: str = ""


class Critique(Entry, RunInput):
    pass


def approve(key: str, parent: str) -> None:
    """Ask whether the rewards of an iteration are to be trained, and write down a no."""
    folder = REWARDS / key / "candidates"
    good = [c for c in read_json(folder / "index.json")["candidates"] if c["file"]]
    shown = [
        f"**{c['name']}**: {c['note']}\n\n"
        + difference(REWARDS / parent / "selected.py", folder / c["file"])
        for c in good
    ]
    question = f"Train these rewards of {key}? If not, say why: the next author reads it."
    form = Approval.with_initial_data(description="\n\n".join((question, *shown)))
    answer = pause_flow_run(form, PATIENCE, POLL, key=f"approve-{slug(key)}") if good else form()
    if not answer.approve:
        why = " ".join(answer.why.split()) or "no reason given"
        write_text(LEDGER, ledger.refusal(LEDGER.read_text(), key, why))
        get_run_logger().info(f"{key} is not trained: {why}")


def unsaid(key: str) -> tuple[Path, list[str]]:
    """The file of the critic who is a person, and the candidates of an iteration that it lacks;
    none where somebody else is the critic. Raises StudyError where the file is the example."""
    critique = read_yaml(PARAMS)["critique"]
    file = Path(critique["file"])
    if critique["critic"] != "person":
        return file, []
    if file == EXAMPLE:
        raise StudyError(f"critique.file: {file} is the example; copy it and name the copy")
    said = (read_yaml(file) if file.is_file() else {}).get(key) or {}
    index = read_json(Path("data/iterations") / key / "rollouts/index.json")["candidates"]
    return file, [c["name"] for c in index if not c["error"] and c["name"] not in said]


def criticise(key: str) -> None:
    """Ask what is to be said of each candidate of an iteration, and write it down."""
    file, names = unsaid(key)
    for name in names:
        film = Path("data/iterations", key, "films", f"{name}.mp4").absolute()
        form = Critique.with_initial_data(description=f"{key}'s {name}: look at {film}")
        answer = pause_flow_run(form, PATIENCE, POLL, key=f"critique-{slug(key)}-{name}")
        text = (file if file.is_file() else EXAMPLE).read_text()
        write_text(file, added(text, key, name, answer.model_dump()))


def added(text: str, key: str, name: str, said: dict[str, Any]) -> str:
    """The critic's file with an entry more; what stands above the first entry stays."""
    lines = text.splitlines(keepends=True)
    head = next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
    entries = yaml.safe_load(text) or {}
    entries.setdefault(key, {})[name] = said
    body = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=100)
    return "".join(lines[:head]) + body
