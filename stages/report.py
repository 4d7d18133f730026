"""One page that shows expert and learner side by side, and why the reward changed.

reads   expert/         video.mp4, provenance.json, keyframes/, criteria.json
        iterations/     of the seed and every iteration of the ledger: best/, films/, rollouts/,
                        policies/, critique.json, proposal.json
        rewards/        selected.py, feedback.json

writes  report/         index.html, which opens by double click, and media/ beside it

report.html is the page, report.css its style and report.js its player; this file computes what
they show. Jinja escapes every text from a video, a model or a user.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from reelward import pages
from reelward.measures.shared import unshared
from reelward.motion.record import Motion, from_json
from reelward.pages.films import Film, film
from reelward.pages.plots import Plot, cycle_plots, learning_curves
from reelward.records import (
    Candidates,
    CheckedCandidate,
    Criteria,
    Critique,
    Feedback,
    Judgement,
    ModelCalls,
    Proposal,
    Provenance,
    Row,
)
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.sim.robot import load_robot
from reelward.studies import ledger
from reelward.studies.changes import RewardChange, reward_change

LIBRARIES = ("reelward", "torch", "mujoco", "gymnasium", "numpy", "dvc")
CRITICS = {
    "measured": "measured, no language model",
    "vlm": "the vision-language model",
    "person": "a person",
}
AUTHORS = {
    "measured": "measured, no language model",
    "llm": "the language model",
    "fixed": "none: the reward stays as it is",
}


@dataclass(frozen=True)
class Args:
    expert: Path
    """Folder of the expert."""
    iterations: Path
    """Folder of the iterations."""
    rewards: Path
    """Folder of the rewards."""
    ledger: Path
    """The ledger, loop.yaml."""
    out: Out
    """Folder to create."""
    task: str
    """What the robot learns, in a sentence."""
    robot: str
    """Name of a robot in robots/."""


# --- what the page shows -----------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    name: str
    note: str
    start: str
    refused: bool
    error: str | None
    critique: Critique | None
    sheet: str | None
    film: str | None


@dataclass(frozen=True)
class Learner:
    """The best of an iteration, or the untrained seed."""

    name: str
    title: str
    motion: Motion
    sheet: str | None
    film: Film | None


@dataclass(frozen=True)
class Iteration(Learner):
    parent: str
    selected: str
    """iteration/candidate whose policy is this iteration's best."""
    chosen: str | None
    """The candidate that replaced the parent's best."""
    critique: Critique
    """Of the best."""
    parent_critique: Critique
    """Of the parent's best, as the author read it."""
    parent_closeness: float
    env_steps: int
    author: str
    critic: str
    scripted: bool
    """A script answered in place of a model."""
    candidates: list[Candidate]
    change: RewardChange
    trained_steps: int
    """Env-steps of the learning curves."""
    curves: list[Plot]
    cycle: list[Plot]
    advice: str
    """What to change where the loop does not advance."""
    unmeasured: dict[str, list[str]]
    """Reason -> descriptors that the learner does not show."""


@dataclass(frozen=True)
class Cell:
    """A figure of one learner."""

    row: Row
    uncertainty: float
    why: str
    """Why the learner does not show it; empty where it does."""


@dataclass(frozen=True)
class Line:
    """One figure of the expert and of all iterations."""

    row: Row
    """Its expert, unit and tolerance are the same in all iterations."""
    uncertainty: float
    """Of the expert's figure."""
    digits: int
    """Decimals that this uncertainty leaves."""
    cells: dict[str, Cell]


# --- films and pictures ------------------------------------------------------------------------


def copied(source: Path, out: Path, name: str) -> str | None:
    """Copy a picture or film beside the page. Returns its address, None where there is none."""
    target = out / "media" / name
    if (
        not source.is_file() or not source.stat().st_size
    ):  # without a video, fetch writes an empty one
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target.relative_to(out).as_posix()


# --- figures of motion -------------------------------------------------------------------------


def table(expert: Motion, iterations: list[Iteration]) -> Iterator[Line]:
    """One line for each figure of the measure."""
    for i, row in enumerate(iterations[-1].critique.rows):
        e = expert.descriptors.get(row.name)
        u = (e.uncertainty if e else 0.0) or abs(row.expert or 0.0) / 100
        digits = min(6, max(0, 1 - math.floor(math.log10(u)))) if u else 2
        cells = {}
        for it in iterations:
            own = it.motion.descriptors.get(row.name)
            uncertainty, why = (own.uncertainty, own.why) if own else (0.0, "not measured")
            cells[it.name] = Cell(it.critique.rows[i], uncertainty, why)
        yield Line(row, e.uncertainty if e else 0.0, digits, cells)


def unmeasured(critique: Critique, learner: Motion) -> dict[str, list[str]]:
    """Figures that count and that the learner does not show, by reason."""
    reasons: dict[str, list[str]] = {}
    for row in critique.rows:
        if row.usable and row.learner is None:
            own = learner.descriptors.get(row.name)
            reasons.setdefault(own.why if own else "not measured", []).append(row.name)
    return reasons


# --- the page ----------------------------------------------------------------------------------


def who(kinds: Mapping[str, str], kind: str, calls: ModelCalls | None) -> str:
    """Who criticised or wrote: the kind and its model, or the script that answered in its place."""
    if calls is None:
        return kinds[kind]
    return (
        f"a script in place of {kinds[kind]}" if calls.scripted else f"{kinds[kind]} {calls.model}"
    )


def rights(licence: str | None) -> str:
    """The licence of the video, as the page states it."""
    if not licence:
        return "not stated, shown on this machine only; of another's film all rights are reserved"
    if licence.lower().startswith(("not stated", "unknown")):
        return "all rights reserved, shown on this machine only"
    return licence


def learner(name: str, title: str, selected: str, args: Args, out: Path) -> Learner:
    """The best of an iteration. `selected` is the candidate that it was, empty for the seed: the
    iterations that kept it share its pictures."""
    best = args.iterations / name / "best"
    home, _, candidate = (selected or f"{ledger.SEED}/best").partition("/")
    motion = from_json(files.read_json(best / "motion.json"))
    path = args.iterations / home / f"films/{candidate}.mp4"
    media = selected or ledger.SEED
    address = copied(path, out, f"{media}/video.mp4")
    sheet = copied(best / "sheet.jpg", out, f"{media}/sheet.jpg")
    return Learner(name, title, motion, sheet, film(path, address, best, motion))


def candidate(
    checked: CheckedCandidate, critique: Critique | None, folder: Path, out: Path
) -> Candidate:
    name, media = checked.name, f"{folder.name}/{checked.name}"
    return Candidate(
        name=name,
        note=checked.note,
        start=checked.start,
        refused=checked.file is None,
        error=checked.error,
        critique=critique,
        sheet=copied(folder / f"rollouts/{name}/sheet.jpg", out, f"{media}/sheet.jpg"),
        film=copied(folder / f"films/{name}.mp4", out, f"{media}/video.mp4"),
    )


def iteration(name: str, parent: str, expert: Motion, args: Args, out: Path) -> Iteration:
    """Everything that the page shows of one iteration."""
    folder, rewards, parent_rewards = (
        args.iterations / name, args.rewards / name, args.rewards / parent,
    )  # fmt: skip
    feedback = files.read_record(rewards / "feedback.json", Feedback)
    before = files.read_record(parent_rewards / "feedback.json", Feedback)
    judgement = files.read_record(folder / "critique.json", Judgement)
    proposal = files.read_record(folder / "proposal.json", Proposal)
    index = files.read_record(folder / "rollouts/index.json", Candidates)
    assert feedback.critique is not None, "only the seed has no critique"
    best = learner(name, name, feedback.selected, args, out)
    home, _, chosen = feedback.selected.partition("/")
    curves = args.iterations / home / f"policies/{chosen}.csv"
    steps, plots = learning_curves(curves) if chosen else (0, [])
    old, new = ((r / "selected.py").read_text() for r in (parent_rewards, rewards))
    titles = (f"rewards/{parent}/selected.py", f"rewards/{name}/selected.py")
    return Iteration(
        **vars(best),
        parent=parent,
        selected=feedback.selected,
        chosen=chosen if home == name else None,
        critique=feedback.critique,
        parent_critique=before.critique or judgement.parent,
        parent_closeness=judgement.parent.closeness,
        env_steps=feedback.env_steps,
        author=who(AUTHORS, proposal.author, proposal.model_calls),
        critic=who(CRITICS, judgement.critic, judgement.model_calls),
        scripted=any(a.scripted for a in (proposal.model_calls, judgement.model_calls) if a),
        candidates=[
            candidate(c, judgement.candidates.get(c.name), folder, out) for c in index.candidates
        ],
        change=reward_change(old, new, titles, load_robot(args.robot).fields),
        trained_steps=steps,
        curves=plots,
        cycle=cycle_plots(expert, best.motion),
        advice=feedback.advice,
        unmeasured=unmeasured(feedback.critique, best.motion),
    )


def page(args: Args, out: Path) -> str:
    """The page; its pictures and films are copied to `out`."""
    measured, video = args.expert / "keyframes", args.expert / "video.mp4"
    motion = from_json(files.read_json(measured / "motion.json"))
    sheet = copied(measured / "sheet.jpg", out, "expert/sheet.jpg")
    address = copied(video, out, "expert/video.mp4")
    expert = Learner("expert", "expert", motion, sheet, film(video, address, measured, motion))
    seed = learner(ledger.SEED, "untrained", "", args, out)
    text = args.ledger.read_text()
    iterations = [iteration(*entry, motion, args, out) for entry in ledger.parents(text).items()]
    learners = {x.name: x for x in (seed, *iterations)}
    last = learners[ledger.last(text)]
    films = {x.name: x.film for x in (expert, *learners.values())}
    criteria = files.read_record(args.expert / "criteria.json", Criteria)
    provenance = files.read_record(args.expert / "provenance.json", Provenance)
    scripted = [it.scripted for it in iterations]
    return pages.render(
        Path(__file__).with_suffix(".html"),
        task=args.task,
        robot=args.robot,
        source=provenance.video,
        rights=rights(provenance.video.licence) if provenance.video else None,
        scripted=any(scripted) or bool(criteria.model_calls and criteria.model_calls.scripted),
        expert=expert,
        criteria=criteria,
        seed=seed,
        seed_source=(args.rewards / ledger.SEED / "selected.py").read_text(),
        iterations=iterations,
        last=last,
        last_iteration=iterations[-1],
        films=films,
        player_data={"last": last.name, "films": {n: f and asdict(f) for n, f in films.items()}},
        unshared=unshared(motion, load_robot(args.robot)),
        table=list(table(motion, iterations)),
        versions={name: version(name) for name in LIBRARIES},
    )


def main(args: Args) -> None:
    with files.new_folder(args.out) as out:
        files.write_text(out / "index.html", page(args, out))


if __name__ == "__main__":
    run_stage(main, Args)
