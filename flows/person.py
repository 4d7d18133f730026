"""Ask a person through Prefect, and keep the answers in files of the study.

approval   before an iteration is trained. A refusal is written to loop.yaml, with its reason: nothing
           is trained, the parent's best stays, and an author that is a model reads the reason.
critique   after an iteration was filmed, where the study's critic is a person. It is written to the
           file that params.yaml names.

A person who writes these files by hand and runs `dvc repro` gets the same results.
"""

from __future__ import annotations

from pathlib import Path

from prefect import get_run_logger, pause_flow_run
from prefect.input import RunInput
from ruamel.yaml.comments import CommentedMap

from flows.show import REWARDS, difference, slug
from reelward.critics.person import Entry
from reelward.records import Candidates
from reelward.runtime.files import read_record, write_text
from reelward.runtime.validation import read_yaml
from reelward.studies import ledger
from reelward.studies.git import StudyError
from reelward.studies.settings import PARAMS
from reelward.studies.study import EXAMPLE, LEDGER
from reelward.studies.yaml_text import edited

PATIENCE = 30 * 24 * 3600
"""s to wait for an answer"""
POLL = 1
"""s between two looks for it"""


class Approval(RunInput):
    approve: bool = True
    why: str = ""


class Critique(Entry, RunInput):
    pass


def approve(key: str, parent: str) -> None:
    """Ask whether to train the rewards of an iteration. Record a refusal in the ledger."""
    folder = REWARDS / key / "candidates"
    rewards = [
        f"**{c.name}**: {c.note}\n\n"
        + difference(REWARDS / parent / "selected.py", folder / c.file)
        for c in read_record(folder / "index.json", Candidates).candidates
        if c.file
    ]
    if not rewards:
        return
    question = f"Train these rewards of {key}? If not, give a reason: the next author reads it."
    form = Approval.with_initial_data(description="\n\n".join((question, *rewards)))
    answer = pause_flow_run(form, PATIENCE, POLL, key=f"approve-{slug(key)}")
    if not answer.approve:
        why = " ".join(answer.why.split()) or "no reason given"
        write_text(LEDGER, ledger.refusal(LEDGER.read_text(), key, why))
        get_run_logger().info(f"{key} is not trained: {why}")


def criticise(key: str) -> None:
    """Ask for a critique of each candidate of an iteration, where the critic is a person, and write it
    to the critic's file."""
    file, names = uncriticised(key)
    for name in names:
        film = Path("data/iterations", key, "films", f"{name}.mp4").absolute()
        form = Critique.with_initial_data(description=f"{name} of {key}: watch {film}")
        answer = pause_flow_run(form, PATIENCE, POLL, key=f"critique-{slug(key)}-{name}")
        text = (file if file.is_file() else EXAMPLE).read_text()
        write_text(file, added(text, key, name, answer.model_dump()))


def uncriticised(key: str) -> tuple[Path, list[str]]:
    """The file of a critic who is a person, and the candidates of an iteration that it lacks; none for
    another critic. Raises StudyError where the file is the example."""
    critique = read_yaml(PARAMS)["critique"]
    file = Path(critique["file"])
    if critique["critic"] != "person":
        return file, []
    if file == EXAMPLE:
        raise StudyError(f"critique.file: {file} is the example; copy it and name the copy")
    entries = (read_yaml(file) if file.is_file() else {}).get(key) or {}
    index = Path("data/iterations") / key / "rollouts/index.json"
    candidates = read_record(index, Candidates).candidates
    return file, [c.name for c in candidates if not c.error and c.name not in entries]


def added(text: str, key: str, name: str, entry: dict[str, object]) -> str:
    """The text of a critic's file with one more entry, its comments kept."""

    def add(root: CommentedMap) -> None:
        root.fa.set_block_style()  # the example is an empty {}
        root.setdefault(key, {})[name] = entry

    return edited(text, add)
