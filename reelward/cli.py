"""Make and extend studies, see what would run, check and compare rewards."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from reelward.runtime.words import show

app = SubcommandApp()


@app.command
def new(
    name: Positional[str],
    from_: Annotated[str | None, arg(name="from", metavar="STUDY")] = None,
    reward: Annotated[Path | None, arg(metavar="FILE")] = None,
    preset: str | None = None,
    robot: str | None = None,
    video: str | None = None,
    task: str | None = None,
    seed: int | None = None,
    author: Annotated[str | None, arg(metavar="MODEL")] = None,
    critic: Annotated[str | None, arg(metavar="MODEL")] = None,
) -> None:
    """Begin a study: a git branch study/NAME with its settings and no results.

    Precedence of settings: the options here, the preset, the study that --from names, params.yaml.

    Args:
        name: The study's name.
        from_: A study whose settings and best reward this one starts from.
        reward: A reward file to start from. It is checked for the robot first, and trained as it stands
            beside the author's own candidates.
        preset: A file in presets/, without .yaml. By default, another robot brings its own preset.
        robot: A folder in robots/.
        video: A file, a link, a page of a video site, or pypi:NAME==VERSION/path.
        task: What to learn, in a sentence.
        seed: The seed of all trainings.
        author: Who writes rewards: measured, fixed (the reward as it stands), or a model by its name
            on its server.
        critic: Who judges: measured, person (you), or a model by its name on its server.
    """
    from reelward.runtime.clone import require_clone
    from reelward.runtime.locks import lock
    from reelward.studies import plan, settings, study

    require_clone()
    with lock(study.LEDGER):  # a running flow commits to the branch that is checked out here
        study.new(
            name, settings.Choice(preset, robot, video, task, seed, author, critic), from_, reward
        )
        params = settings.read(settings.PARAMS.read_text())
    learn = "dvc repro or python -m flows.learn --iterations 3"
    if settings.value_at(params, "fetch.source") is not None:
        learn = f"dvc repro keyframes, look at data/expert/keyframes/followed.jpg, then {learn}"
    for sentence in plan.unshared():
        show(sentence)
    show(f"on branch study/{name}; next: {learn}")


@app.command(name="open")
def open_(name: Positional[str]) -> None:
    """Enter a study: its branch, with the data and the report that DVC keeps for it.

    Args:
        name: The study's name.
    """
    from reelward.runtime.clone import require_clone
    from reelward.runtime.locks import lock
    from reelward.studies import study

    require_clone()
    with lock(study.LEDGER):
        if study.short(name) == study.checked_out():  # perhaps by git, which brings no data
            study.bring_data()
        study.enter(name)
    show(f"on branch study/{study.short(name)}; see what would run: reelward plan")


@app.command(name="list")
def list_(as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """List all studies: robot, iterations done and planned, closeness, age and task.

    Args:
        as_json: Print the studies as JSON.
    """
    from reelward.runtime.clone import require_clone
    from reelward.studies.overview import lines, overview

    require_clone()
    studies = overview()
    if as_json:
        show(json.dumps([dataclasses.asdict(s) for s in studies], indent=1))
    elif studies:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
        show("\n".join(lines(studies, width)))
    else:
        show("no studies yet; make one: reelward new NAME")


@app.command
def extend(to: int | None = None) -> None:
    """Append iterations to the ledger, each a child of the one before.

    Args:
        to: The number of iterations in all. By default one more than there are.
    """
    from reelward.runtime.clone import require_clone
    from reelward.runtime.locks import lock
    from reelward.runtime.words import counted
    from reelward.studies import study

    require_clone()
    with lock(study.LEDGER):
        names = study.extend(to)
    count, last = counted(len(names), "iteration"), list(names)[-1]
    show(
        f"loop.yaml has {count}, the last {last}; next: dvc repro, then commit what it brought: "
        f"git add loop.yaml dvc.lock metrics.json rewards && git commit -m {last}\n"
        f"or let the flow do both: python -m flows.learn --iterations {len(names)}"
    )


@app.command
def plan(as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """List the trainings and paid calls that the next `dvc repro` would run, and why.

    Args:
        as_json: Print every stage as JSON.
    """
    from reelward.runtime.clone import require_clone
    from reelward.runtime.words import counted
    from reelward.studies import plan as planning

    require_clone()
    steps = planning.plan()
    if as_json:
        show(json.dumps([dataclasses.asdict(s) for s in steps], indent=1))
        return
    for sentence in planning.unshared():
        show(sentence)
    costly = [s for s in steps if s.kind != "free"]
    for s in costly:
        maybe = "" if s.certain else "maybe: "
        size = f" ({planning.interval(*s.env_steps)} env-steps)" if s.env_steps else ""
        show(f"{s.kind:10}{s.stage:20}{maybe}{'; '.join(s.why)}{size}")
    paid = counted(len(costly), "training or paid call", "trainings or paid calls")
    trainings = [s.env_steps for s in costly if s.env_steps]
    total = planning.interval(*map(sum, zip(*trainings, strict=True))) if trainings else ""
    show(
        f"{paid} and {counted(len(steps) - len(costly), 'free stage')} to run"
        + f"; {total} env-steps, except what DVC restores from its run-cache" * bool(total)
    )


@app.command
def diff(
    rev: Positional[str],
    other: Positional[str | None] = None,
    as_json: Annotated[bool, arg(name="json")] = False,
    html: Path | None = None,
) -> None:
    """Compare two versions of a reward: terms, targets, weights, and what the change brought.

    A version is a git revision or a study (its rewards/best.py), an iteration of the working tree
    (iter-02, seed), or both (HEAD~3:iter-02, mywalk:iter-02).

    Args:
        rev: the older version. Without `other`, the newer version, compared with its parent: the
            parent of an iteration in the ledger, or the commit before a commit
        other: the newer version
        as_json: print JSON, for programs
        html: write one self-contained page to this file
    """
    from rich.console import Console

    from reelward.runtime.clone import require_clone
    from reelward.runtime.files import write_text
    from reelward.studies.diff import (
        compare,
        html_page,
        load_version,
        parent_of,
        print_comparison,
    )

    require_clone()
    old, new = (rev, other) if other is not None else (parent_of(rev), rev)
    comparison = compare(load_version(old), load_version(new))
    if html is not None:
        write_text(html, html_page(comparison))
    if as_json:
        show(json.dumps(dataclasses.asdict(comparison), indent=1))
    elif html is None:
        print_comparison(comparison, Console(highlight=False))
    else:
        show(f"wrote {html}")


@app.command
def doctor() -> None:
    """Check this machine. Each failure names the command that helps."""
    from reelward.doctor import doctor as examine

    raise SystemExit(examine())


@app.command
def check(
    file: Positional[Path],
    robot: str,
    as_json: Annotated[bool, arg(name="json")] = False,
    require_jail: bool = False,
    params: Path | None = None,
) -> None:
    """Check a reward file for a robot, in a sandbox.

    Args:
        file: A reward. It has Python syntax and is never executed as Python.
        robot: A folder in robots/.
        as_json: Print the result as JSON.
        require_jail: Refuse to evaluate the reward where a layer of the sandbox is missing.
        params: The file that names native terms. By default params.yaml, where there is one.
    """
    from reelward.checking import cli_check

    sys.exit(cli_check(file, robot, as_json, require_jail, params))


@app.command
def fields(robot: str, as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """List the fields that a reward may read: names, shapes, units and meanings.

    Args:
        robot: A folder in robots/.
        as_json: Print the fields as JSON.
    """
    from reelward.checking import cli_fields

    sys.exit(cli_fields(robot, as_json))


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `reelward fields ... | head` ends quietly
    from reelward.runtime.options import CONFIG, commands, one_line_mistakes

    try:
        with one_line_mistakes("reelward", commands(app)):
            app.cli(prog="reelward", description=__doc__, config=CONFIG)
    except KeyboardInterrupt:
        show("reelward: stopped", sys.stderr)
        sys.exit(130)
    except Exception as e:
        from reelward.runtime.explain import explain

        code, text = explain(e)
        show(f"reelward: {text}", sys.stderr)
        sys.exit(code)


if __name__ == "__main__":
    main()
