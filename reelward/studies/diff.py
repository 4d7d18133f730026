"""Two versions of a reward: what changed in it, and what came of it.

A version is named by a git revision, whose rewards/best.py is meant (before the first iteration:
the reward the study starts from); by an iteration, as it is in the working tree; or by
REV:iter-02. Terms and constants come from the compiler, so nothing of a reward is executed; the
figures from the history and the feedback committed beside it.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reelward.language import Reward, RewardError, compile_reward
from reelward.language.graph import Ref
from reelward.measures.descriptors import UNITS
from reelward.sim.robot import RobotError, load_robot
from reelward.studies import ledger
from reelward.studies.study import StudyError, git

ITERATION = re.compile(r"(?:(?P<rev>.+):)?(?P<name>iter-\d+|seed)")
SUMMARY = ("closeness", "survival", "return", "env_steps")
SIGNS = {"added": "+", "removed": "-", "formula": "~", "numbers": "~"}


class DiffError(ValueError):
    """A version that is not there."""


@dataclass(frozen=True)
class Version:
    """A reward, and what training on it gave."""

    rev: str
    """as it was asked for"""
    commit: str
    """shortened; empty for the working tree"""
    iteration: str
    source: str
    reward: Reward | None
    """None when it does not compile today"""
    error: str
    """why not"""
    figures: dict[str, float | None]
    """closeness, survival, return, env_steps and the descriptors, as far as they are known"""
    expert: dict[str, float | None]
    """the expert's descriptors"""
    selected: str
    """the candidate it was, e.g. iter-01/c2"""


def version(rev: str) -> Version:
    """The version that `rev` names. Raises DiffError."""
    named = ITERATION.fullmatch(rev)
    commit = "" if named and not named["rev"] else _commit(named["rev"] if named else rev)

    def read(path: str) -> str | None:
        try:
            return git("show", f"{commit}:{path}") if commit else Path(path).read_text()
        except (StudyError, FileNotFoundError):
            return None

    if named:
        iteration, path = named["name"], f"rewards/{named['name']}/selected.py"
        source = read(path)
    else:
        path = "rewards/best.py"
        iteration = json.loads(read("metrics.json") or "{}").get("iteration", ledger.SEED)
        source = read(path) or read(f"rewards/{ledger.SEED}/selected.py")
    if source is None:
        raise DiffError(f"{rev} has no reward: expected {path} there; see git log -- rewards")
    folder = f"rewards/{iteration}"
    feedback = json.loads(read(f"{folder}/feedback.json") or "{}")
    reward, error = _compiled(source, read("params.yaml") or "")
    return Version(
        rev, commit, iteration, source, reward, error,
        _figures(read(f"{folder}/history.csv") or "", feedback),
        {name: row["expert"] for name, row in feedback.get("differences", {}).items()},
        feedback.get("selected", ""),
    )  # fmt: skip


def before(rev: str) -> str:
    """What `rev` is held against when nothing else is named: an iteration's parent in the ledger,
    the commit before a commit. Raises DiffError."""
    named = ITERATION.fullmatch(rev)
    if named is None:
        _commit(rev)
        return f"{rev}~"
    at = f"{_commit(named['rev'])}:" if named["rev"] else ""
    text = git("show", f"{at}loop.yaml") if at else Path("loop.yaml").read_text()
    parents = ledger.parents(text)
    parent = parents.get(named["name"])
    if parent is None and named["name"] != ledger.SEED:
        raise DiffError(f"{rev}: loop.yaml has no such iteration; it has {', '.join(parents)}")
    if parent is None:
        raise DiffError(f"{rev} has no parent in loop.yaml; name two versions")
    return f"{named['rev']}:{parent}" if at else parent


def compare(old: Version, new: Version) -> dict[str, Any]:
    """All that differs, as JSON."""
    effect = {}
    for name in (*SUMMARY, *UNITS):
        pair = {"old": old.figures.get(name), "new": new.figures.get(name)}
        if name in UNITS:
            pair["expert"] = new.expert.get(name, old.expert.get(name))
        if any(value is not None for value in pair.values()):
            effect[name] = pair
    both = (old.reward, new.reward) if old.reward and new.reward else None
    return {
        **{
            side: {
                "rev": v.rev, "commit": v.commit, "iteration": v.iteration,
                "selected": v.selected, "error": v.error,
            }
            for side, v in (("old", old), ("new", new))
        },
        "terms": _terms(*both) if both else None,
        "constants": _constants(*both) if both else None,
        "effect": effect,
        "diff": [
            line.rstrip("\n")
            for line in difflib.unified_diff(
                old.source.splitlines(), new.source.splitlines(), _title(old), _title(new), n=2
            )
        ],
    }  # fmt: skip


def show(found: dict[str, Any], console: Console) -> None:
    """The comparison for people."""
    heads = [_short(found[side]["rev"]) for side in ("old", "new")]
    for side, head in zip(("old", "new"), heads, strict=True):
        v = found[side]
        console.print(Text.assemble((head.ljust(max(map(len, heads)) + 2), "bold"), about(v)))
        if v["error"]:
            console.print(Text(f"does not compile: {v['error']}", "yellow"))
    console.print()
    if found["terms"] is not None:
        words = Text("terms  ")
        for name, how in found["terms"].items():
            if how != "same":
                style = {"+": "green", "-": "red"}.get(SIGNS[how], "yellow")
                words.append(f"{SIGNS[how]} {name}{' (formula)' * (how == 'formula')}  ", style)
        same = sum(how == "same" for how in found["terms"].values())
        console.print(words.append(f"{same} as before", "dim"))
        console.print()
    if found["constants"]:
        table = _table("constant", *heads, "change")
        for name, (a, b) in found["constants"].items():
            table.add_row(escape(name), *map(number, (a, b)), change(a, b))
        console.print(table)
        console.print()
    if found["effect"]:
        table = _table("effect", "expert", *heads, "change", "")
        for name, f in found["effect"].items():
            table.add_row(
                name, number(f.get("expert"), blank=" "), *map(number, (f["old"], f["new"])),
                change(f["old"], f["new"]), *verdict(name, f),
            )  # fmt: skip
        console.print(table)
        console.print()
    for line in found["diff"] or ["the texts are the same"]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        console.print(Text(line, style), soft_wrap=True)


def page(found: dict[str, Any]) -> str:
    """The comparison as one self-contained HTML page."""
    env = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.globals |= {
        "about": about,
        "number": number,
        "change": change,
        "verdict": verdict,
        "signs": SIGNS,
    }
    return env.from_string(Path(__file__).with_suffix(".html").read_text()).render(found)


def about(side: dict[str, Any]) -> str:
    """Of one side: commit, iteration and candidate, as far as its name has not said them."""
    known = side["rev"].endswith(side["iteration"])
    parts = (side["commit"], "" if known else side["iteration"], side["selected"])
    return " · ".join(filter(None, parts))


def number(value: Any, blank: str = "–") -> str:
    """Four digits of a figure."""
    if value is None:
        return blank
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def change(old: Any, new: Any) -> str:
    """The signed difference of two figures, `=` where there is none."""
    if old == new:
        return "="
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in (old, new)):
        return ""
    return f"{new - old:+,.0f}" if abs(new - old) >= 10_000 else f"{new - old:+.3g}"


def verdict(name: str, figure: dict[str, float | None]) -> tuple[str, ...]:
    """Whether a figure came nearer to where it ought to be."""
    old, new = figure["old"], figure["new"]
    if old is None or new is None or name in ("return", "env_steps"):
        return ("",)
    goal = figure.get("expert", 1.0)  # of closeness and survival
    if goal is None or abs(new - goal) == abs(old - goal):
        return ("",)
    return ("nearer",) if abs(new - goal) < abs(old - goal) else ("further",)


def _commit(rev: str) -> str:
    try:
        named = ("--verify", "--end-of-options", f"{rev}^{{commit}}")
        return git("rev-parse", "--short", *named).strip()
    except StudyError:
        raise DiffError(
            f"expected a git revision or an iteration such as iter-02, got {rev}; see git log"
        ) from None


def _compiled(source: str, params: str) -> tuple[Reward | None, str]:
    try:
        settings = yaml.safe_load(params)
        native = dict.fromkeys(settings.get("native") or {}, _never)
        return compile_reward(source, load_robot(settings["robot"]).fields, native=native), ""
    except RewardError as e:
        return None, str(e.errors[0])
    except (RobotError, TypeError, KeyError, AttributeError, yaml.YAMLError) as e:
        return None, f"its robot is not known: {' '.join(str(e).split())}"


def _never(state: Any) -> Any:
    """In place of the user's own terms: their names suffice to read a reward."""
    raise NotImplementedError


def _figures(history: str, feedback: dict[str, Any]) -> dict[str, float | None]:
    rows = list(csv.DictReader(history.splitlines()))
    if not rows:
        return {}
    names = ("closeness", "survival", "env_steps", *UNITS)
    training = feedback.get("training") or {}
    last = {"return": (training.get("return") or [None])[-1]}
    return last | {n: float(text) if (text := rows[-1].get(n)) else None for n in names}


def _terms(old: Reward, new: Reward) -> dict[str, str]:
    """Each term, in the new order: same, added, removed, or changed in its formula or in its
    numbers alone."""
    had, has = _forms(old), _forms(new)
    found = {}
    for name, (exact, shape) in has.items():
        a, b = had.get(name, ("", ""))
        how = "same" if a == exact else "numbers" if b == shape else "formula"
        found[name] = how if name in had else "added"
    return found | {name: "removed" for name in had if name not in has}


def _forms(reward: Reward) -> dict[str, tuple[str, str]]:
    """Of each term a digest of its graph, and one of its graph whatever the numbers."""

    def digests(keep: Any) -> list[str]:
        done: list[str] = []
        for node in reward.nodes:
            args = [done[a.node] if isinstance(a, Ref) else keep(a) for a in node.args]
            done.append(hashlib.sha256(json.dumps([node.op, args]).encode()).hexdigest())
        return done

    exact = digests(lambda a: a)
    shape = digests(lambda a: "#" if isinstance(a, float) else a)
    return {name: (exact[i], shape[i]) for name, i in reward.outputs.items()}


def _constants(old: Reward, new: Reward) -> dict[str, tuple[Any, Any]]:
    """Module constants that differ: `TARGET knee` -> old and new, None where it is not; of a list that
    both have its elements, of another one how many there are."""
    return _moved("", old.constants, new.constants)


def _moved(name: str, old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    tables = [v for v in (new, old) if isinstance(v, dict)]
    if tables and all(isinstance(v, dict | None) for v in (old, new)):
        had, has = old or {}, new or {}
        pairs = {k: (had.get(k), has.get(k)) for table in tables for k in table}
    elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        pairs = dict(enumerate(zip(old, new, strict=True)))
    else:
        return {} if old == new else {name: (_counted(old), _counted(new))}
    return {
        n: v for k, pair in pairs.items() for n, v in _moved(f"{name} {k}".strip(), *pair).items()
    }


def _counted(value: Any) -> Any:
    if isinstance(value, dict):
        return "a table"
    return f"{len(value)} figures" if isinstance(value, tuple) else value


def _title(v: Version) -> str:
    return " ".join(filter(None, (v.rev, v.commit)))


def _short(rev: str) -> str:
    return rev if len(rev) <= 14 else f"{rev[:13]}…"


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, title in enumerate(titles):
        table.add_column(escape(title), justify="left" if i == 0 or not title else "right")
    return table
