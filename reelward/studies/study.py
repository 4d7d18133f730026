"""A study: one question, on a git branch `study/NAME` of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reelward.runtime.clone import require_clone
from reelward.runtime.files import write_text
from reelward.runtime.validation import nearest, shortened
from reelward.runtime.words import show
from reelward.studies import ledger
from reelward.studies.git import (
    NO_HOOKS,
    StudyError,
    enter_new_branch,
    git,
    new_commit,
    uncommitted,
)
from reelward.studies.settings import (
    CRITIQUES,
    PARAMS,
    Choice,
    applied,
    chosen,
    completed,
    differing,
    preset,
    read,
    value_at,
)

LEDGER = Path("loop.yaml")
SEED = Path("rewards/seed/selected.py")
BEST = "rewards/best.py"
KEPT = ("params.yaml", "loop.yaml", "rewards")
"""what a study begins with"""
RESULTS = (
    "dvc.lock", "metrics.json", BEST, "rewards/history.csv", "rewards/iter-*", CRITIQUES,
)  # fmt: skip
"""what another study's folder must not keep"""
MAIN = "main"
"""the branch without results: a study that is made while another is checked out begins there"""
LONGEST = 60
"""characters of a name"""
EXAMPLE = Path("prompts/critiques.yaml")
"""explains the file CRITIQUES, and is its first content"""


def checked_out() -> str | None:
    """Name of the study that is checked out, None where there is none."""
    branch = git("branch", "--show-current").strip()
    return short(branch) if branch.startswith("study/") else None


def current() -> str:
    """Name of the study that is checked out. Raises StudyError where there is none."""
    if name := checked_out():
        return name
    raise StudyError(
        f"expected a branch study/NAME, got {git('branch', '--show-current').strip() or 'no branch'}; "
        "make one: reelward new NAME, or enter one: reelward open NAME"
    )


def branch(name: str) -> str:
    """Full name of a study's branch, local or else of a remote; empty where there is none."""
    return names().get(name, "")


def new(name: str, choice: Choice, source: str | None = None, reward: Path | None = None) -> None:
    """Make the branch of a study: its settings, a ledger of one iteration and the reward to start from.

    It begins from the commit that is checked out, or from `main` where that belongs to another study.
    With `source`, a study's name, it takes that study's settings and starts from its best reward; with
    `reward` it starts from that file. Precedence: explicit choices, preset, source study, params.yaml.
    Results that belong to no study stay beside it, where `dvc repro` finds them.

    Raises StudyError, or another error in one line, before anything is changed.
    """
    require_name(name)
    require_clone()
    if branch(name):
        raise StudyError(f"study {name} exists; enter it: reelward open {name}")
    here = git("branch", "--show-current").strip()
    in_study = here.startswith("study/")
    base = _main() if in_study else "HEAD"
    params, seed = _start(source, base if in_study else None)
    own = chosen(choice)
    given = preset(choice, params)
    params = applied(params, given.values | own)
    seed = given.reward or seed
    if reward is not None:
        seed = _own_reward(reward, read(params))
    leftover = _require_committed(source, here if in_study else None)

    texts = {str(PARAMS): params, str(LEDGER): ledger.FIRST, str(SEED): seed}
    if value_at(read(params), "critique.file") == CRITIQUES:
        texts[CRITIQUES] = EXAMPLE.read_text()
    first = new_commit(
        base, f"Begin study {name}", added=() if in_study else KEPT, removed=RESULTS, texts=texts
    )
    enter_new_branch(
        f"study/{name}", first, () if in_study else uncommitted(*KEPT).keys() - leftover
    )
    if not leftover:
        _remove_results(kept=())


def require_name(name: str) -> None:
    """Raises StudyError for a name that no study can have."""
    if (
        re.fullmatch(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*(?<!\.lock)", name)
        and len(name) <= LONGEST
    ):
        return
    ascii_name = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9_]+", "-", ascii_name)[:LONGEST].strip("-_")
    hint = f"; for example {plain}" if plain else ""
    raise StudyError(
        f"name: expected up to {LONGEST} of a-z, 0-9, - and _ (single dots inside, no .lock at the "
        f"end), got {shortened(repr(name))}{hint}"
    )


def _main() -> str:
    """The branch from which a study begins while another is checked out."""
    places = (f"refs/heads/{MAIN}", f"refs/remotes/*/{MAIN}")
    if main := git("for-each-ref", "--format=%(refname)", *places).partition("\n")[0]:
        return main
    raise StudyError(
        f"a study begins from the branch {MAIN} while another is checked out, and there is none; "
        f"make it: git fetch origin {MAIN}:{MAIN}"
    )


def _require_committed(source: str | None, study: str | None) -> set[str]:
    """Raises StudyError where uncommitted files would be lost. Returns the results that no study and
    no commit has. `study` is the branch that is checked out, None if it is none of a study."""
    results = uncommitted(*RESULTS)
    settings = uncommitted(*KEPT) if source or study else {}
    if study:
        if lost := {**results, **settings}:
            raise StudyError(
                f"{_several(lost)} not committed to {study}; commit first: "
                f"git add {' '.join(sorted(_tops(lost)))} && git commit -m results"
            )
        return set()
    if known := [path for path, how in results.items() if how != "??"]:
        raise StudyError(
            f"{_several(known)} changed here, where no results belong; drop the change: "
            f"git restore --staged --worktree {' '.join(sorted(_tops(known)))}"
        )
    if mine := settings.keys() - results:
        raise StudyError(
            f"{_several(mine)} changed here, and --from takes the settings of {source}; put them "
            "aside: git stash --include-untracked, or leave --from out"
        )
    return set(results)


def _several(paths: Iterable[str]) -> str:
    names = sorted(paths)
    shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"]
    return f"{', '.join(shown)} {'is' if len(names) == 1 else 'are'}"


def _tops(paths: Iterable[str]) -> set[str]:
    return {path.partition("/")[0] for path in paths}


def _start(source: str | None, base: str | None) -> tuple[str, str]:
    """Text of the settings and the reward to begin with: those of the study `source`, of the branch
    `base`, or those here."""
    params, seed = PARAMS.read_text(), SEED.read_text()
    if base is not None:
        params, seed = git("show", f"{base}:{PARAMS}"), git("show", f"{base}:{SEED}")
    if source is not None:
        theirs = _known(short(source))
        best = git("ls-tree", "--name-only", theirs, "--", BEST).strip() or SEED
        params = completed(git("show", f"{theirs}:{PARAMS}"), params)
        seed = git("show", f"{theirs}:{best}")
    return params, seed


def _own_reward(file: Path, params: Any) -> str:
    """The text of a user's reward, which must pass the check for the robot of `params`."""
    from reelward.checking import checked  # loads the robot; its jailed process loads the compiler
    from reelward.sim.robot import load_robot

    text = file.read_text()
    result = checked(text, load_robot(params["robot"]), params.get("native"))
    if not result.ok:
        first, *others = result.errors
        more = f", and {len(others)} more" if others else ""
        raise StudyError(
            f"reward: {file}:{first.line}: {first.message}{more}; see all: "
            f"reelward check {file} --robot {params['robot']}"
        )
    return text


def short(name: str) -> str:
    """A study's name, from a name or from its branch."""
    return name.removeprefix("study/")


def names() -> dict[str, str]:
    """Each study's name with the full name of its branch, a local one before a remote's."""
    places = ("refs/heads/study/*", "refs/remotes/*/study/*")
    refs = git("for-each-ref", "--format=%(refname)", *places).split()
    known: dict[str, str] = {}
    for ref in refs:
        known.setdefault(ref.partition("/study/")[2], ref)
    return known


def _known(name: str) -> str:
    """Full name of the branch of a study. Raises StudyError where there is none."""
    known = names()
    if name in known:
        return known[name]
    raise StudyError(f"no study {name}; {nearest(name, known, 'list them: reelward list')}")


def enter(name: str) -> None:
    """Check out a study and the files that DVC keeps for it. Raises StudyError."""
    name = short(name)
    theirs = _known(name)
    here = git("branch", "--show-current").strip()
    if here == f"study/{name}":
        return
    if theirs.startswith("refs/remotes/"):
        git("branch", "--quiet", f"study/{name}", theirs.removeprefix("refs/remotes/"))
    git(*NO_HOOKS, "switch", "--quiet", f"study/{name}")
    bring_data("--force")
    if here and not here.startswith("study/") and git("rev-list", "-1", here, "--not", "HEAD"):
        show(f"{here} has commits that study/{name} lacks; git merge {here} brings them")


def bring_data(*options: str) -> None:
    """Replace the data and the report of another study by those that DVC keeps for the one that is
    checked out. `options` are those of `dvc checkout`."""
    _remove_results(kept=tuple(ledger.parents(LEDGER.read_text())))
    subprocess.run(
        (sys.executable, "-m", "dvc", "checkout", "--quiet", "--allow-missing", *options)
    )


def _remove_results(kept: tuple[str, ...]) -> None:
    """Remove the files of the study that was left, except those of the iterations `kept`. DVC's
    cache has what was finished."""
    for folder in (*Path("data/iterations").glob("iter-*"), Path("data/best"), Path("report")):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def require(choice: Choice) -> None:
    """Raises StudyError where the study that is checked out has other settings than chosen."""
    if difference := differing(PARAMS.read_text(), choice):
        place, mine, asked = difference
        raise StudyError(
            f"{place}: study {current()} has {mine}, asked for was {asked}; "
            "leave it out, or make another study"
        )


def extend(to: int | None = None) -> dict[str, str]:
    """Append iterations to the ledger of the study that is checked out until there are `to`, by default
    one more. Returns all iterations with their parents. Raises StudyError where no study is."""
    current()
    text = LEDGER.read_text()
    to = len(ledger.parents(text)) + 1 if to is None else to
    longer = ledger.extended(text, to)
    if longer != text:
        write_text(LEDGER, longer)
    return ledger.parents(longer)
