"""One page that shows expert and learner side by side, and why the reward changed.

reads   expert/         video.mp4, provenance.json, keyframes/, criteria.json
        iterations/     of the seed and every iteration of the ledger: best/, rollouts/, policies/,
                        critique.json, proposal.json
        rewards/        selected.py, feedback.json
writes  report/         index.html, which opens by double click, and media/ beside it

report.html is the page, report.css its style and report.js its player; this file computes what
they show. Jinja escapes every text from a video, a model or a user.
"""

from __future__ import annotations

import ast
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reelward import pages
from reelward.measures.gait import tolerance
from reelward.motion.record import Descriptor, Motion, from_json
from reelward.pages.films import Film, film
from reelward.pages.plots import Plot, cycle_plots, learning_curves
from reelward.records import Critique
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.studies import ledger
from reelward.studies.changes import Constants, changed_constants, text_difference

LIBRARIES = ("reelward", "torch", "mujoco", "gymnasium", "numpy", "dvc")
CRITICS = {
    "measured": "measured, no language model",
    "vlm": "the vision-language model",
    "person": "a person",
    "file": "a person",
}
AUTHORS = {
    "measured": "measured, no language model",
    "llm": "the language model",
    "fixed": "none: the reward stays as it is",
}


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert"""
    iterations: Path
    """folder of the iterations"""
    rewards: Path
    """folder of the rewards"""
    ledger: Path
    """loop.yaml"""
    out: Out
    """folder to create"""
    task: str
    """the task in a sentence"""
    robot: str
    """robots/NAME"""


# --- what the page shows -----------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Where the video comes from."""

    address: str
    title: str | None
    author: str | None
    licence: str
    sha256: str
    start_s: float
    end_s: float
    width: int
    height: int
    fps: float

    @property
    def name(self) -> str:
        return self.title or self.address

    @property
    def link(self) -> str | None:
        links = (x for x in (self.title, self.address) if x)
        return next((x for x in links if x.startswith(("https://", "http://"))), None)


@dataclass(frozen=True)
class Change:
    """What an iteration changed in the reward."""

    added: list[str]
    """names of terms"""
    removed: list[str]
    constants: dict[str, tuple[object, object]]
    """`TARGET knee` -> old and new value"""
    difference: list[str]
    """lines of the unified difference"""
    source: str


@dataclass(frozen=True)
class Candidate:
    name: str
    note: str
    start: str
    seed: int
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
    """iteration/candidate whose policy is this iteration's best"""
    chosen: str | None
    """the candidate that replaced the parent's best"""
    critique: Critique
    """of the best"""
    parent_critique: Critique
    """of the parent's best, as the author read it"""
    parent_closeness: float
    excluded: dict[str, str]
    """descriptors that do not count for this robot, with the reason"""
    env_steps: int
    author: str
    critic: str
    scripted: bool
    """a script answered in place of a model"""
    candidates: list[Candidate]
    change: Change
    trained_steps: int
    """env-steps of the learning curves"""
    curves: list[Plot]
    cycle: list[Plot]
    unmeasured: dict[str, list[str]]
    """reason -> descriptors that the learner does not show"""


@dataclass(frozen=True)
class Cell:
    learner: Descriptor
    off: float | None
    """learner minus expert in tolerances"""


@dataclass(frozen=True)
class Line:
    """One descriptor of the expert and of all iterations."""

    name: str
    expert: Descriptor
    digits: int
    """decimals that the expert's uncertainty leaves"""
    tolerance: float
    excluded: str
    """why it does not count; empty where it does"""
    cells: dict[str, Cell]


# --- films and pictures ------------------------------------------------------------------------


def copied(source: Path, out: Path, name: str) -> str | None:
    """Copy a picture or film beside the page. Returns its address, None where there is none."""
    target = out / "media" / name
    if not source.is_file():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target.relative_to(out).as_posix()


# --- rewards -----------------------------------------------------------------------------------


def anatomy(source: str) -> tuple[Constants, set[str]]:
    """Constants and names of the terms in the text of a reward."""
    constants: dict[str, object] = {}
    terms: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "reward":
            keys = [k for d in ast.walk(node) if isinstance(d, ast.Dict) for k in d.keys]
            terms |= {str(k.value) for k in keys if isinstance(k, ast.Constant)}
        elif isinstance(node, ast.Assign) and isinstance(name := node.targets[0], ast.Name):
            try:
                constants[name.id] = _tuples(ast.literal_eval(node.value))
            except ValueError:  # computed from other constants: the text shows its change
                continue
    return constants, terms


def _tuples(value: object) -> object:
    if isinstance(value, dict):
        return {key: _tuples(v) for key, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def reward_change(before: str, after: str, parent: str, iteration: str) -> Change:
    """What changed from the reward `before` to the reward `after`."""
    (old, old_terms), (new, new_terms) = anatomy(before), anatomy(after)
    titles = (f"rewards/{parent}/selected.py", f"rewards/{iteration}/selected.py")
    return Change(
        sorted(new_terms - old_terms),
        sorted(old_terms - new_terms),
        changed_constants(old, new),
        text_difference(before, after, *titles),
        after,
    )


# --- figures of motion -------------------------------------------------------------------------


def table(expert: Motion, iterations: list[Iteration]) -> Iterator[Line]:
    """One line for each descriptor of the expert."""
    for name, e in expert.descriptors.items():
        u = e.uncertainty or abs(e.value or 0.0) / 100
        digits = min(6, max(0, 1 - math.floor(math.log10(u)))) if u else 2
        limit = tolerance(name, e)
        cells = {}
        for it in iterations:
            own, off = it.motion.descriptors[name], None
            if e.usable and own.usable and e.value is not None and own.value is not None:
                off = (own.value - e.value) / limit
            cells[it.name] = Cell(own, off)
        excluded = e.why if not e.usable else iterations[-1].excluded.get(name, "")
        yield Line(name, e, digits, limit, excluded, cells)


def unmeasured(expert: Motion, learner: Motion) -> dict[str, list[str]]:
    """Descriptors that the expert shows and the learner does not, by reason."""
    reasons: dict[str, list[str]] = {}
    for name, own in learner.descriptors.items():
        if expert.descriptors[name].usable and not own.usable:
            reasons.setdefault(own.why, []).append(name)
    return reasons


# --- the page ----------------------------------------------------------------------------------


def who(kinds: Mapping[str, str], kind: str, answers: Mapping[str, Any]) -> str:
    """Who criticised or wrote: the kind, the model, or the script that answered in its place."""
    if answers.get("scripted"):
        return f"a script in place of {kinds[kind]}"
    return f"{kinds[kind]} {answers.get('model') or ''}".strip()


def critique_of(plain: dict[str, Any]) -> Critique:
    known = {k: v for k, v in plain.items() if k in Critique.model_fields}
    return Critique(
        rows=(), measured_verdict=known.pop("measured_verdict", plain["verdict"]), **known
    )


def source(plain: dict[str, Any]) -> Source:
    """Where the video comes from, as provenance.json says."""
    licence = plain.get("licence") or "unknown"
    if licence.lower().startswith(("not stated", "unknown")):
        licence = "all rights reserved, shown on this machine only"
    start_s, end_s = plain["section_s"]
    return Source(
        address=plain["source"],
        title=plain.get("title"),
        author=plain.get("author"),
        licence=licence,
        sha256=plain["sha256"],
        start_s=start_s,
        end_s=end_s,
        width=plain["width"],
        height=plain["height"],
        fps=plain["fps"],
    )


def learner(name: str, title: str, address: str, best: Path, out: Path) -> Learner:
    """The best of an iteration, its pictures under media/`address`."""
    motion = from_json(files.read_json(best / "motion.json"))
    picture = copied(best / "video.mp4", out, f"{address}/video.mp4")
    sheet = copied(best / "sheet.jpg", out, f"{address}/sheet.jpg")
    return Learner(name, title, motion, sheet, film(best / "video.mp4", picture, best, motion))


def iteration(name: str, parent: str, expert: Motion, args: Args, out: Path) -> Iteration:
    """Everything that the page shows of one iteration."""
    folder, rewards = args.iterations / name, args.rewards / name
    feedback = files.read_json(rewards / "feedback.json")
    judgement = files.read_json(folder / "critique.json")
    proposal = files.read_json(folder / "proposal.json")
    selected = feedback["selected"]
    home, _, chosen = selected.partition("/")
    # An iteration that kept its parent's best shares its pictures.
    best = learner(name, name, selected or ledger.SEED, folder / "best", out)
    candidates = []
    for c in files.read_json(folder / "policies/index.json")["candidates"]:
        rollout, media = folder / "rollouts" / c["name"], f"{name}/{c['name']}"
        critique = judgement["candidates"].get(c["name"])
        candidates.append(Candidate(
            c["name"], c["note"], c["start"], c["seed"], c["file"] is None, c["error"],
            critique and critique_of(critique),
            copied(rollout / "sheet.jpg", out, f"{media}/sheet.jpg"),
            copied(rollout / "video.mp4", out, f"{media}/video.mp4"),
        ))  # fmt: skip
    before, after = ((r / "selected.py").read_text() for r in (args.rewards / parent, rewards))
    told = files.read_json(args.rewards / parent / "feedback.json").get("critique")
    curves = args.iterations / home / f"policies/{chosen}.csv"
    steps, plots = learning_curves(curves) if selected else (0, [])
    lacks = "the robot lacks the points for it"
    parts = judgement["parent"]["parts"]
    return Iteration(
        **vars(best),
        parent=parent,
        selected=selected,
        chosen=chosen if home == name else None,
        critique=critique_of(feedback["critique"]),
        parent_critique=critique_of(told or judgement["parent"]),
        parent_closeness=judgement["parent"]["closeness"],
        excluded={n: lacks for n in expert.descriptors if n not in parts},
        env_steps=feedback["env_steps"],
        author=who(AUTHORS, proposal["author"], proposal),
        critic=who(CRITICS, judgement["critic"], judgement),
        scripted=bool(proposal.get("scripted") or judgement.get("scripted")),
        candidates=candidates,
        change=reward_change(before, after, parent, name),
        trained_steps=steps,
        curves=plots,
        cycle=cycle_plots(expert, best.motion),
        unmeasured=unmeasured(expert, best.motion),
    )


def page(args: Args, out: Path) -> str:
    """The page; its pictures and films are copied to `out`."""
    measured = args.expert / "keyframes"
    motion = from_json(files.read_json(measured / "motion.json"))
    picture = copied(args.expert / "video.mp4", out, "expert/video.mp4")
    sheet = copied(measured / "sheet.jpg", out, "expert/sheet.jpg")
    shown = film(args.expert / "video.mp4", picture, measured, motion)
    expert = Learner("expert", "expert", motion, sheet, shown)
    untrained = args.iterations / ledger.SEED / "best"
    seed = learner(ledger.SEED, "untrained", ledger.SEED, untrained, out)
    text = args.ledger.read_text()
    iterations = [iteration(*entry, motion, args, out) for entry in ledger.parents(text).items()]
    learners = {x.name: x for x in (seed, *iterations)}
    last = learners[ledger.last(text)]
    films = {x.name: x.film for x in (expert, *learners.values())}
    criteria = files.read_json(args.expert / "criteria.json")
    return pages.render(
        Path(__file__).with_suffix(".html"),
        task=args.task,
        robot=args.robot,
        source=source(files.read_json(args.expert / "provenance.json")),
        scripted=bool(criteria.get("scripted")) or any(it.scripted for it in iterations),
        expert=expert,
        criteria=criteria,
        seed=seed,
        seed_source=(args.rewards / ledger.SEED / "selected.py").read_text(),
        iterations=iterations,
        last=last,
        last_iteration=iterations[-1],
        films=films,
        player_data={"last": last.name, "films": {n: f and asdict(f) for n, f in films.items()}},
        table=list(table(motion, iterations)),
        versions={name: version(name) for name in LIBRARIES},
    )


def main(args: Args) -> None:
    with files.new_folder(args.out) as out:
        files.write_text(out / "index.html", page(args, out))


if __name__ == "__main__":
    run_stage(main, Args)
