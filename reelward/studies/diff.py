"""Two versions of a reward: what changed in it, and what the change brought.

A version is named by a git revision or a study, which means its rewards/best.py (before the first
iteration: the reward that the study starts from); by an iteration of the working tree; or by REV:iter-02.
Terms and constants come from the compiler, which executes nothing of a reward; figures come from
the history and the feedback committed beside it.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reelward.records import Feedback
from reelward.runtime.validation import nearest, shortened
from reelward.studies import ledger
from reelward.studies.changes import changed_constants, text_difference
from reelward.studies.git import StudyError, git
from reelward.studies.study import names

if TYPE_CHECKING:
    from reelward.language import Reward

ITERATION = re.compile(r"(?:(?P<rev>.+):)?(?P<name>iter-\d+|seed)")
WORDS = ("iteration", "candidate", "verdict")
"""columns of history.csv that are no figures"""
NEUTRAL = ("return", "env_steps")
"""figures of which neither more nor less is better"""
SIGNS = {"added": "+", "removed": "-", "formula": "~", "numbers": "~"}

TermChange = Literal["same", "added", "removed", "formula", "numbers"]
"""`numbers`: the same formula with other numbers"""


class DiffError(ValueError):
    """A version that does not exist, or that this version of reelward cannot read."""


@dataclass(frozen=True)
class Version:
    """A reward, and what training on it brought."""

    rev: str
    """as it was asked for"""
    commit: str
    """abbreviated; empty for the working tree"""
    iteration: str
    selected: str
    """the candidate, e.g. iter-01/c2"""
    source: str
    params: str
    """text of the params.yaml beside it"""
    figures: dict[str, float | None]
    """closeness, survival, return, env_steps and the measure's figures, as far as they are known"""
    expert: dict[str, float | None]
    """the expert's figures"""


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    rev: str
    commit: str
    iteration: str
    selected: str
    error: str
    """why the reward does not compile today; empty where it does"""

    @property
    def details(self) -> str:
        """Commit, iteration and candidate, as far as `rev` does not say them already."""
        iteration = "" if self.rev.endswith(self.iteration) else self.iteration
        return " · ".join(filter(None, (self.commit, iteration, self.selected)))


@dataclass(frozen=True)
class Effect:
    """A figure of both versions."""

    old: float | None
    new: float | None
    goal: float | None
    """what both should be near: the expert's figure, or 1 for closeness and survival"""

    @property
    def verdict(self) -> str:
        """Nearer to the goal or further from it; empty for a change of less than 1 % of the goal."""
        if self.old is None or self.new is None or self.goal is None:
            return ""
        before, after = abs(self.old - self.goal), abs(self.new - self.goal)
        if abs(after - before) <= 0.01 * abs(self.goal):
            return ""
        return "nearer" if after < before else "further"


@dataclass(frozen=True)
class Comparison:
    old: Side
    new: Side
    terms: dict[str, TermChange] | None
    """None where a version does not compile"""
    constants: dict[str, tuple[object, object]] | None
    """`TARGET knee` -> (old, new); None where a version does not compile"""
    effect: dict[str, Effect]
    diff: list[str]
    """lines of the unified difference of the texts"""


# --- versions ----------------------------------------------------------------------------------


def load_version(rev: str) -> Version:
    """The version that `rev` names. Raises DiffError."""
    match = ITERATION.fullmatch(rev)
    revision = match["rev"] if match else rev
    commit = _commit(revision) if revision else ""

    def read(path: str) -> str | None:
        try:
            return git("show", f"{commit}:{path}") if commit else Path(path).read_text()
        except (StudyError, FileNotFoundError):
            return None

    if match:
        iteration, path = match["name"], f"rewards/{match['name']}/selected.py"
        source = read(path)
    else:
        path = "rewards/best.py"
        iteration = json.loads(read("metrics.json") or "{}").get("iteration", ledger.SEED)
        source = read(path) or read(f"rewards/{ledger.SEED}/selected.py")
    if source is None:
        near = nearest(iteration, set(_iterations(commit)) - {iteration}, "") if match else ""
        cure = near or "see git log -- rewards"
        raise DiffError(f"{rev} has no reward: expected {path} there; {cure}")
    try:
        text = read(f"rewards/{iteration}/feedback.json") or "{}"
        feedback = Feedback.model_validate_json(text)
    except ValidationError as e:
        where = ".".join(map(str, e.errors()[0]["loc"]))
        raise DiffError(
            f"{rev}: rewards/{iteration}/feedback.json is of another version of reelward ({where}); "
            "compare newer commits"
        ) from None
    history = list(csv.DictReader((read(f"rewards/{iteration}/history.csv") or "").splitlines()))
    rows = feedback.critique.rows if feedback.critique else ()
    return Version(
        rev, commit, iteration, feedback.selected, source, read("params.yaml") or "",
        _figures(history, feedback), {row.name: row.expert for row in rows},
    )  # fmt: skip


def parent_of(rev: str) -> str:
    """The version that `rev` is compared with by default: an iteration's parent in the ledger, or
    the commit before a commit. Raises DiffError."""
    match = ITERATION.fullmatch(rev)
    if match is None:
        _commit(rev)
        return f"{rev}~"
    at = f"{_commit(match['rev'])}:" if match["rev"] else ""
    text = git("show", f"{at}loop.yaml") if at else Path("loop.yaml").read_text()
    parents = ledger.parents(text)
    parent = parents.get(match["name"])
    if parent is None and match["name"] != ledger.SEED:
        raise DiffError(f"{rev}: loop.yaml has no such iteration; it has {', '.join(parents)}")
    if parent is None:
        raise DiffError(f"{rev} has no parent in loop.yaml; name two versions")
    return f"{match['rev']}:{parent}" if at else parent


def _commit(rev: str) -> str:
    """The abbreviated commit of a git revision, in which a study's name stands for its branch."""
    name, rest = re.fullmatch(r"([a-z0-9._-]*)(.*)", rev, re.DOTALL).groups()  # type: ignore[union-attr]
    branches = names()
    for revision in (rev, f"{branches[name]}{rest}" if name in branches else None):
        with contextlib.suppress(StudyError):
            if revision:
                return git(
                    "rev-parse", "--short", "--verify", "--end-of-options", f"{revision}^{{commit}}"
                ).strip()
    known = [*branches, *(f"study/{name}" for name in branches), *_iterations("")]
    raise DiffError(
        "expected a git revision, a study or an iteration such as iter-02, got "
        f"{shortened(rev)}; {nearest(rev, known, 'see git log')}"
    )


def _iterations(commit: str) -> list[str]:
    """The iterations that a commit has, or the working tree."""
    try:
        text = git("show", f"{commit}:loop.yaml") if commit else Path("loop.yaml").read_text()
        return [ledger.SEED, *ledger.parents(text)]
    except (StudyError, OSError, ledger.LedgerError):
        return []


def _figures(history: list[dict[str, str]], feedback: Feedback) -> dict[str, float | None]:
    if not history:
        return {}
    figures = {n: float(v) if v else None for n, v in history[-1].items() if n not in WORDS}
    returns = feedback.training.returns if feedback.training else ()
    first = {"closeness": figures.pop("closeness"), "survival": figures.pop("survival")}
    return first | {"return": returns[-1] if returns else None} | figures


# --- the comparison ----------------------------------------------------------------------------


def compare(old: Version, new: Version) -> Comparison:
    (before, old_error), (after, new_error) = _compiled(old), _compiled(new)
    compiled = (before, after) if before and after else None
    effect = {}
    for name in {**new.figures, **old.figures}:
        pair = old.figures.get(name), new.figures.get(name)
        own = new.expert.get(name, old.expert.get(name))
        goal = 1.0 if name in ("closeness", "survival") else None if name in NEUTRAL else own
        if pair != (None, None):
            effect[name] = Effect(*pair, goal)
    old_title, new_title = (" ".join(filter(None, (v.rev, v.commit))) for v in (old, new))
    return Comparison(
        Side(old.rev, old.commit, old.iteration, old.selected, old_error),
        Side(new.rev, new.commit, new.iteration, new.selected, new_error),
        _terms(*compiled) if compiled else None,
        changed_constants(compiled[0].constants, compiled[1].constants) if compiled else None,
        effect,
        text_difference(old.source, new.source, old_title, new_title, context=2),
    )


def _compiled(version: Version) -> tuple[Reward | None, str]:
    """The compiled reward, or None and the reason."""
    # Imported here: torch takes a second, and a version that does not exist is refused before.
    from reelward.language import RewardError, compile_reward
    from reelward.sim.robot import load_robot
    from reelward.sim.schema import RobotError

    try:
        settings = yaml.safe_load(version.params)
        native = dict.fromkeys(settings.get("native") or {}, _never_called)
        return compile_reward(
            version.source, load_robot(settings["robot"]).fields, native=native
        ), ""
    except RewardError as e:
        return None, str(e.errors[0])
    except (RobotError, TypeError, KeyError, AttributeError, yaml.YAMLError) as e:
        return None, f"its robot is not known: {' '.join(str(e).split())}"


def _never_called(state: object) -> Any:
    """Stands for a native term: its name suffices to compile a reward."""
    raise NotImplementedError


def _terms(old: Reward, new: Reward) -> dict[str, TermChange]:
    """How each term changed, in the order of the new reward."""
    before, after = _digests(old), _digests(new)
    changes: dict[str, TermChange] = {}
    for name, (exact, shape) in after.items():
        if name not in before:
            changes[name] = "added"
        elif before[name][0] == exact:
            changes[name] = "same"
        else:
            changes[name] = "numbers" if before[name][1] == shape else "formula"
    removed: dict[str, TermChange] = {name: "removed" for name in before if name not in after}
    return changes | removed


def _digests(reward: Reward) -> dict[str, tuple[str, str]]:
    """For each term a digest of its graph, and one of its graph without the numbers."""
    from reelward.language.graph import Ref

    def digests(keep: Callable[[object], object]) -> list[str]:
        done: list[str] = []
        for node in reward.nodes:
            args = [done[a.node] if isinstance(a, Ref) else keep(a) for a in node.args]
            done.append(hashlib.sha256(json.dumps([node.op, args]).encode()).hexdigest())
        return done

    exact = digests(lambda a: a)
    shape = digests(lambda a: "#" if isinstance(a, float) else a)
    return {name: (exact[i], shape[i]) for name, i in reward.outputs.items()}


# --- for people --------------------------------------------------------------------------------


def print_comparison(c: Comparison, console: Console) -> None:
    titles = [v.rev if len(v.rev) <= 14 else f"{v.rev[:13]}…" for v in (c.old, c.new)]
    for version, title in zip((c.old, c.new), titles, strict=True):
        width = max(map(len, titles)) + 2
        console.print(Text.assemble((title.ljust(width), "bold"), version.details))
        if version.error:
            console.print(Text(f"does not compile: {version.error}", "yellow"))
    console.print()
    if c.terms is not None:
        line = Text("terms  ")
        for name, change in c.terms.items():
            if change != "same":
                style = {"+": "green", "-": "red"}.get(SIGNS[change], "yellow")
                note = " (formula)" if change == "formula" else ""
                line.append(f"{SIGNS[change]} {name}{note}  ", style)
        same = sum(change == "same" for change in c.terms.values())
        console.print(line.append(f"{same} unchanged", "dim"))
        console.print()
    if c.constants:
        table = _table("constant", *titles, "change")
        for name, (old, new) in c.constants.items():
            table.add_row(escape(name), number(old), number(new), difference(old, new))
        console.print(table)
        console.print()
    if c.effect:
        table = _table("effect", "expert", *titles, "change", "")
        for name, e in c.effect.items():
            goal = " " if name in ("closeness", "survival") else number(e.goal, blank=" ")
            values = (number(e.old), number(e.new), difference(e.old, e.new))
            table.add_row(name, goal, *values, e.verdict)
        console.print(table)
        console.print()
    for text in c.diff or ["the texts are the same"]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(text[:1], "dim")
        console.print(Text(text, style), soft_wrap=True)


def html_page(c: Comparison) -> str:
    """The comparison as one self-contained HTML page."""
    from reelward import pages

    template = Path(__file__).with_suffix(".html")
    return pages.render(template, c=c, figure=number, difference=difference, signs=SIGNS)


def number(value: object, blank: str = "–") -> str:
    """A number with four significant digits; other values as they are."""
    if value is None:
        return blank
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def difference(old: object, new: object) -> str:
    """The signed difference of two numbers, `=` where there is none."""
    if old == new:
        return "="
    if isinstance(old, bool) or isinstance(new, bool):
        return ""
    if not isinstance(old, int | float) or not isinstance(new, int | float):
        return ""
    return f"{new - old:+,.0f}" if abs(new - old) >= 10_000 else f"{new - old:+.3g}"


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, title in enumerate(titles):
        table.add_column(escape(title), justify="left" if i == 0 or not title else "right")
    return table
