"""What holds the house together: who imports whom, and that dvc.yaml and params.yaml tell the truth.

Each rule is a function from a folder to complaints. It finds none here, and one in a broken copy.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from conftest import ROOT

from reelward.studies.plan import MODEL

LAYERS = (
    {"runtime"},
    {"records"},
    {"sim", "usage"},
    {"policy", "language", "motion", "models"},
    {"render", "measures", "checking", "pages", "training"},
    {"film", "authors", "critics", "loop"},
    {"rollout"},
    {"doctor", "studies"},
    {"cli"},
)
"""The packages and modules of reelward; each may import those of lower layers, and itself."""

PLUMBING = ("reelward/__init__.py", "reelward/runtime/", "reelward/records.py")
"""How a stage runs, and the form of its files. No result depends on it, so no stage does."""

ONLY = {
    "torch": ("reelward/runtime/files.py", "reelward/language/", "reelward/policy.py",
              "reelward/training.py", "reelward/sim/", "reelward/rollout.py", "reelward/checking.py",
              "reelward/doctor.py", "stages/seed.py", "stages/train.py"),
    "openai": ("reelward/models/",),
    "prefect": ("flows/",),
    "dvc": ("reelward/studies/plan.py",),
    "yt_dlp": ("reelward/doctor.py",),
    "mujoco": ("reelward/sim/", "reelward/render.py", "reelward/doctor.py"),
    "gymnasium": ("reelward/sim/",),
}  # fmt: skip
"""Who may import the libraries that are heavy, or that somebody may want to replace."""


def sources(root: Path) -> list[Path]:
    return [
        p for top in ("reelward", "stages", "flows") for p in sorted((root / top).rglob("*.py"))
    ]


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it; `from a import b` gives a and a.b."""
    return _imported(path.read_text())


@cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def _imported(text: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def reached(root: Path, start: Path) -> set[str]:
    """Files of reelward that a stage loads, as paths relative to the root; empty ones left out."""
    seen: set[Path] = set()
    todo = [start]
    while todo:
        for name in imported(todo.pop()):
            parts = name.split(".")
            for depth in range(1, len(parts) + 1) if parts[0] == "reelward" else ():
                base = root.joinpath(*parts[:depth])
                for path in (base.with_suffix(".py"), base / "__init__.py"):
                    if path.is_file() and path not in seen:
                        seen.add(path)
                        todo.append(path)
    full = (p for p in seen if len(parsed(p.read_text()).body) > 1)  # more than a docstring
    names = (p.relative_to(root).as_posix() for p in full)
    return {name for name in names if not name.startswith(PLUMBING)}


def pipeline(root: Path) -> dict[str, dict]:
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    return {name: entry.get("do", entry) for name, entry in stages.items()}


def module(entry: dict) -> str:
    """Name of the file in stages/ that an entry runs."""
    return entry["cmd"].split()[2].removeprefix("stages.")


def deps_tell_the_truth(root: Path) -> list[str]:
    """DVC does not follow imports: what a stage loads must stand in its deps, and nothing more."""
    found = []
    for name, entry in pipeline(root).items():
        if name == "check":  # it loads every stage; its result never changes
            continue
        used = reached(root, root / f"stages/{module(entry)}.py")
        code = [d for d in entry["deps"] if d.startswith("reelward")]
        program = f"stages/{module(entry)}.py"
        found += [f"{name}: no {program}"] * (program not in entry["deps"])
        found += [
            f"{name}: loads {f}, not in deps"
            for f in sorted(used)
            if not any(f == d or f.startswith(f"{d}/") for d in code)
        ]
        found += [
            f"{name}: {d} in deps, not loaded"
            for d in code
            if not any(f == d or f.startswith(f"{d}/") for f in used)
        ]
        if "reelward/sim/robot.py" in used and "--robot" in entry["cmd"]:
            found += [f"{name}: no robots/${{robot}}"] * ("robots/${robot}" not in entry["deps"])
    return found


def arrows_run_down(root: Path) -> list[str]:
    layer = {name: i for i, names in enumerate(LAYERS) for name in names}
    found = []
    for path in sources(root):
        here = path.relative_to(root)
        names = imported(path)
        tops = {n.split(".")[0] for n in names}
        forbidden = {
            "reelward": {"stages", "flows"},
            "stages": {"stages", "flows"},
            "flows": {"stages"},
        }[here.parts[0]]
        found += [f"{here} imports {top}" for top in sorted(tops & forbidden)]
        found += [
            f"{here} imports {library}"
            for library, homes in ONLY.items()
            if library in tops and not here.as_posix().startswith(homes)
        ]
        if here.parts[0] != "reelward" or len(here.parts) == 2 and here.stem == "__init__":
            continue
        mine = Path(here.parts[1]).stem
        if mine not in layer:
            found.append(f"{here} has no layer")
            continue
        others = {n.split(".")[1] for n in names if n.startswith("reelward.")} - {mine}
        found += [
            f"{here} imports reelward.{other}"
            for other in sorted(others)
            if layer.get(other, 99) >= layer[mine]
        ]
    return found


def no_circles(root: Path) -> list[str]:
    """No module imports, directly or through others, itself; not inside a package either."""
    graph: dict[str, set[str]] = {}
    for path in sources(root):
        parts = path.relative_to(root).with_suffix("").parts
        graph[".".join(parts).removesuffix(".__init__")] = imported(path)
    sorter = TopologicalSorter({m: (names & graph.keys()) - {m} for m, names in graph.items()})
    try:
        sorter.prepare()
    except CycleError as e:
        return [" -> ".join(reversed(e.args[1]))]
    return []


def params_fit(root: Path) -> list[str]:
    """Every key is an option of its stage, and with the command line gives all options."""
    params = yaml.safe_load((root / "params.yaml").read_text())
    sections = {name: s for name, s in params.items() if isinstance(s, dict)}
    found = []
    for name, entry in pipeline(root).items():
        if name == "check":
            continue
        options = set(get_type_hints(import_module(f"stages.{module(entry)}").Args))
        section = sections.get(module(entry), {})
        given = {g.replace("-", "_") for g in re.findall(r"--([\w-]+)", entry["cmd"])}
        tracked = entry.get("params", [])
        found += [f"{name}.{key} is no option" for key in section if key not in options]
        found += [f"{name}: {key} is no option" for key in given - options]
        found += [f"{name}: {key} given twice" for key in given & set(section)]
        found += [f"{name}: {key} not given" for key in options - given - set(section)]
        read = {"native", "measure"} & given
        found += [f"{name}: {key} not in params" for key in read if key not in tracked]
        own = module(entry)
        if section and (f"${{{own}}}" not in entry["cmd"] or own not in tracked):
            found.append(f"{name}: its section is not unpacked into cmd, or not in params")
    known = {module(entry) for entry in pipeline(root).values()} | {"measure"}
    return found + [f"{name} is no stage" for name in set(sections) - known]


def described(root: Path) -> list[str]:
    return [
        f"{name}: desc is no sentence"
        for name, entry in pipeline(root).items()
        if not re.fullmatch(r"[A-Z].{10,}\.", entry.get("desc", ""))
    ]


def outs_of(root: Path) -> dict[str, tuple[str, bool]]:
    """Each plain result: the stage that writes it, and whether DVC keeps it (else git does)."""
    found = {}
    for name, entry in pipeline(root).items():
        for out in entry["outs"]:
            ((path, options),) = out.items() if isinstance(out, dict) else ((out, {}),)
            found[path] = (name, options.get("cache", True) and not options.get("persist"))
    return found


def paid_for_once(root: Path) -> list[str]:
    """DVC forgets a run with a result that it does not keep: training and models would be paid for
    again where a setting is changed and changed back."""
    paid = {"train", *MODEL}
    outs = outs_of(root).items()
    return [
        f"{name}: {path} is not kept" for path, (name, kept) in outs if name in paid and not kept
    ]


def kept_apart(root: Path) -> list[str]:
    """DVC writes a .gitignore beside each result that git would see, takes it back when a later
    stage fails, and counts it into a folder's digest. And it takes a folder for changed of which a
    clone has a part."""
    outs = outs_of(root)
    ignored = (root / ".gitignore").read_text().splitlines()
    found = [] if ".gitignore" in (root / ".dvcignore").read_text().splitlines() else [".dvcignore"]
    found += [
        f".gitignore: no /{top}/ for {path}"
        for path, (_, kept) in outs.items()
        if kept and f"/{(top := path.split('/')[0])}/" not in ignored
    ]
    for name, entry in pipeline(root).items():
        for dep in entry["deps"]:
            below = {kept for path, (_, kept) in outs.items() if f"{path}/".startswith(f"{dep}/")}
            found += [f"{name}: {dep} is kept in part"] * (len(below) > 1)
    return found


def printed_by_one(root: Path) -> list[str]:
    """Lines hold names, files and answers of others, which a terminal may obey. `words.show` prints
    them as escapes; rich, with markup of its own, does so in texts."""
    own = root / "reelward/runtime/words.py"
    return [
        f"{path.relative_to(root)}:{node.lineno}: {name}"
        for path in sources(root)
        if path != own
        for node in ast.walk(parsed(path.read_text()))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"print|(sys\.)?(stderr|stdout)\.write", name := ast.unparse(node.func))
    ]


def short(root: Path) -> list[str]:
    """A file is read at one sitting; train.py is the whole of PPO."""
    folders = ("reelward", "stages", "flows", "tests", "bench")
    lines = {p: p.read_text().count("\n") for f in folders for p in (root / f).rglob("*.py")}
    most = {root / "stages/train.py": 450}
    return [f"{p.relative_to(root)}: {n} lines" for p, n in lines.items() if n > most.get(p, 400)]


RULES = (
    short,
    deps_tell_the_truth,
    arrows_run_down,
    no_circles,
    params_fit,
    described,
    paid_for_once,
    kept_apart,
    printed_by_one,
)


@cache
def complaints(rule: Callable[[Path], list[str]]) -> frozenset[str]:
    """What a rule finds in this repository."""
    return frozenset(rule(ROOT))


@pytest.mark.parametrize("rule", RULES)
def test_the_house_stands(rule: Callable[[Path], list[str]]) -> None:
    assert complaints(rule) == set()


BREAKS = (
    (short, "reelward/loop.py", "import csv", "import csv" + 400 * "\n"),
    (
        deps_tell_the_truth,
        "stages/publish.py",
        "import",
        "from reelward.studies import ledger\nimport",
    ),
    (deps_tell_the_truth, "dvc.yaml", "stages/train.py, ", ""),
    (deps_tell_the_truth, "dvc.yaml", "stages/publish.py", "stages/publish.py, reelward/models"),
    (arrows_run_down, "reelward/motion/track.py", "import", "import stages.train\nimport"),
    (arrows_run_down, "reelward/sim/env.py", "import torch", "import torch, reelward.language"),
    (arrows_run_down, "reelward/motion/track.py", "import numpy", "import torch\nimport numpy"),
    (arrows_run_down, "stages/train.py", "import torch", "import torch\nimport stages.select"),
    (
        arrows_run_down,
        "reelward/runtime/files.py",
        "import io",
        "import io\nfrom reelward import policy",
    ),
    (
        no_circles,
        "reelward/language/builder.py",
        "import ast",
        "import ast\nfrom reelward.language.expressions import Expressions",
    ),
    (params_fit, "params.yaml", "gamma:", "gama:"),
    (params_fit, "params.yaml", "gamma:", "# gamma:"),
    (params_fit, "dvc.yaml", "params: [train,", "params: [fetch,"),
    (params_fit, "dvc.yaml", "params: [train, native]", "params: [train]"),
    (params_fit, "dvc.yaml", "params: [select, measure]", "params: [select]"),
    (params_fit, "dvc.yaml", "--iteration ${key} ${train}", "${train}"),
    (described, "dvc.yaml", "desc: PPO trains", "desc: trains"),
    (
        paid_for_once,
        "dvc.yaml",
        '"data/iterations/${key}/policies"]',
        '"data/iterations/${key}/policies": {cache: false}]',
    ),
    (
        paid_for_once,
        "dvc.yaml",
        "data/expert/criteria.json]",
        "data/expert/criteria.json: {persist: true}]",
    ),
    (printed_by_one, "stages/rewards.py", "show(", "print("),
    (printed_by_one, "flows/command.py", "show(text, sys.stderr)", "sys.stderr.write(text)"),
    (kept_apart, "dvc.yaml", "outs: [report]", "outs: [page]"),
    (kept_apart, ".dvcignore", ".gitignore", ""),
    (kept_apart, ".gitignore", "/data/", "/data/expert/"),
    (
        kept_apart,
        "dvc.yaml",
        '- "data/iterations/${key}/best"',
        '- "data/iterations/${key}/best": {cache: false}',
    ),
)


@pytest.mark.parametrize(("rule", "file", "old", "new"), BREAKS)
def test_a_broken_house_is_seen(
    tmp_path: Path, rule: Callable[[Path], list[str]], file: str, old: str, new: str
) -> None:
    for name in ("reelward", "stages", "flows"):
        shutil.copytree(
            ROOT / name, tmp_path / name,
            ignore=shutil.ignore_patterns("__pycache__"), copy_function=os.symlink,
        )  # fmt: skip
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    text = (tmp_path / file).read_text()
    begin = text.index("from __future__") if file.endswith(".py") else 0
    head, body = text[:begin], text[begin:].replace("from __future__ import annotations\n", "")
    assert old in body
    (tmp_path / file).unlink()  # it may be a link to the real file
    (tmp_path / file).write_text(head + body.replace(old, new, 1))
    assert set(rule(tmp_path)) - complaints(rule)


def test_one_cv2_alone() -> None:
    assert packages_distributions()["cv2"] == ["opencv-python-headless"]
