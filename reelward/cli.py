"""The command `reelward`: studies, the ledger, what a repro would do, rewards by hand and side by
side."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

app = SubcommandApp()


@app.command
def new(
    name: Positional[str],
    from_: Annotated[str | None, arg(name="from", metavar="STUDY")] = None,
    preset: str | None = None,
    robot: str | None = None,
    video: str | None = None,
    task: str | None = None,
    seed: int | None = None,
    author: Annotated[str | None, arg(metavar="MODEL")] = None,
    critic: Annotated[str | None, arg(metavar="MODEL")] = None,
) -> None:
    """Begin a study: a git branch study/NAME with its settings and no results.

    Args:
        name: of the study
        from_: a study whose settings and best reward this one starts from
        preset: presets/NAME.yaml, settings that go together; another robot brings its own
        robot: robots/NAME
        video: a file, a link, a page of a video site, or pypi:NAME==VERSION/path
        task: a sentence
        seed: of its trainings
        author: the model that writes rewards, by its name on its server; measured: none
        critic: the model that looks, likewise; person: you write what you see
    """
    from reelward.runtime.locks import lock
    from reelward.studies import study

    with lock(study.LEDGER):  # a flow at work here commits to the branch that it is on
        study.new(
            name, from_, preset, robot=robot, video=video, task=task,
            seed=None if seed is None else str(seed), author=author, critic=critic,
        )  # fmt: skip
    print(f"on branch study/{name}; next: dvc repro, or python -m flows.learn --iterations 3")


@app.command
def extend(to: int | None = None) -> None:
    """Append iterations to the ledger, each going on from the one before.

    Args:
        to: how many there are to be; by default one more
    """
    from reelward.runtime.locks import lock
    from reelward.studies import study

    with lock(study.LEDGER):
        names = study.extend(to)
    print(f"loop.yaml has {len(names)} iterations, the last {list(names)[-1]}; next: dvc repro")


@app.command
def plan(as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """Say which trainings and paid calls the next dvc repro would run, and why.

    Args:
        as_json: every stage, for programs
    """
    from reelward.studies.plan import plan as make

    steps = make()
    if as_json:
        print(json.dumps([dataclasses.asdict(s) for s in steps], indent=1))
        return
    dear = [s for s in steps if s.kind != "free"]
    for s in dear:
        when = "" if s.certain else "maybe: "
        print(f"{s.kind:10}{s.stage:20}{when}{'; '.join(s.why)}")
    print(f"{len(dear)} trainings or paid calls and {len(steps) - len(dear)} free stages to run")


@app.command
def diff(
    rev: Positional[str],
    other: Positional[str | None] = None,
    as_json: Annotated[bool, arg(name="json")] = False,
    html: Path | None = None,
) -> None:
    """Compare two versions of a reward: terms, targets, weights, and what the change brought.

    A version is a git revision (its rewards/best.py), an iteration of the working tree (iter-02,
    seed), or both (HEAD~3:iter-02).

    Args:
        rev: the older version. Without `other`, the newer version, compared with its parent: the
            parent of an iteration in the ledger, or the commit before a commit
        other: the newer version
        as_json: print JSON, for programs
        html: write one self-contained page to this file
    """
    from rich.console import Console

    from reelward.runtime.files import write_text
    from reelward.studies.diff import (
        compare,
        html_page,
        load_version,
        parent_of,
        print_comparison,
    )

    old, new = (rev, other) if other is not None else (parent_of(rev), rev)
    comparison = compare(load_version(old), load_version(new))
    if html is not None:
        write_text(html, html_page(comparison))
    if as_json:
        print(json.dumps(dataclasses.asdict(comparison), indent=1))
    elif html is None:
        print_comparison(comparison, Console(highlight=False))
    else:
        print(f"wrote {html}")


@app.command
def doctor() -> None:
    """Look whether this machine can do it all; each failure names the command that mends it."""
    from reelward.doctor import doctor as look

    raise SystemExit(look())


@app.command
def check(
    file: Positional[Path],
    robot: str,
    as_json: Annotated[bool, arg(name="json")] = False,
    require_jail: bool = False,
    params: Path | None = None,
) -> None:
    """Check a reward file against a robot, in a jail and without executing it.

    Args:
        file: Python syntax, never executed as Python
        robot: robots/NAME
        as_json: for programs
        require_jail: refuse to try it where a layer of the jail is missing
        params: the file that names native terms; by default the params.yaml here, if there is one
    """
    from reelward.checking import cli_check

    sys.exit(cli_check(file, robot, as_json, require_jail, params))


@app.command
def fields(robot: str, as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """List what a reward may read of a robot: fields, shapes, units, meaning.

    Args:
        robot: robots/NAME
        as_json: for programs
    """
    from reelward.checking import cli_fields

    sys.exit(cli_fields(robot, as_json))


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `reelward fields ... | head` ends quietly
    try:
        app.cli(prog="reelward", description=__doc__)
    except Exception as e:
        from reelward.runtime.explain import explain

        code, text = explain(e)
        print(f"reelward: {text}", file=sys.stderr)
        sys.exit(code)


if __name__ == "__main__":
    main()
