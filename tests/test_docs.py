"""The README and the pages under docs/: length, the annotated tree, links, and the files they name."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest
from conftest import ROOT, run

MAX_LINES = 150
GENERATED = ("data", "report", "scratch", "dvc.lock", "metrics.json", "local.yaml")
"""Results: a page may name them although a fresh clone does not have them."""
TREE_PATH = re.compile(r"[\w.-]+(/|\.\w+)|LICENSE")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
SOURCE_FILE = re.compile(
    r"`((?:reelward|stages|flows|tests|bench|prompts|presets|robots)/[\w./-]+)`"
)


def tracked(root: Path) -> list[str]:
    return run(root, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()


def short_readme(root: Path, readme: str) -> list[str]:
    lines = len(readme.splitlines())
    return [f"README.md: {lines} lines; at most {MAX_LINES}"] * (lines > MAX_LINES)


def tree_matches_files(root: Path, readme: str) -> list[str]:
    """Every path of the README's tree exists. Every tracked file or folder of the top level and of
    reelward/ is in the tree."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", readme, re.M | re.S)
    trees = [block for block in blocks if "\ndvc.yaml " in block]
    if len(trees) != 1:
        return [f"README.md: expected one tree, got {len(trees)}"]
    paths: set[str] = set()
    parents: list[str] = []
    for line in filter(str.strip, trees[0].splitlines()):
        first, *others = line.split()
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [first.strip("/")]
        names = [first, *takewhile(TREE_PATH.fullmatch, others)]
        paths |= {"/".join([*parents[:depth], name.strip("/")]) for name in names}
    missing = {p for p in paths if not (root / p).exists() and not p.startswith(GENERATED)}
    expected = set()
    for file in tracked(root):
        parts = Path(file).parts
        if not file.startswith((".", *GENERATED)) and (root / file).exists():
            expected.add(parts[0])
            if parts[0] == "reelward" and parts[1] != "__init__.py":
                expected.add("/".join(parts[:2]))
    return [f"README.md: {p} does not exist" for p in sorted(missing)] + [
        f"README.md: {p} is not in the tree" for p in sorted(expected - paths)
    ]


def links_resolve(root: Path, readme: str) -> list[str]:
    """Every relative link of a page leads to a file."""
    pages = {root / "README.md": readme} | {p: p.read_text() for p in (root / "docs").glob("*.md")}
    return [
        f"{page.name}: {link} does not exist"
        for page, text in pages.items()
        for link in LINK.findall(text)
        if "://" not in link and not (page.parent / link).exists()
    ]


def named_files_exist(root: Path, readme: str) -> list[str]:
    """Every source file that a page names exists, unless the name has a placeholder in capitals."""
    pages = {"README.md": readme}
    pages |= {p.name: p.read_text() for p in (root / "docs").glob("*.md")}
    return [
        f"{page}: {name} does not exist"
        for page, text in pages.items()
        for name in SOURCE_FILE.findall(text)
        if not re.search(r"[A-Z]{3}", name) and not (root / name).exists()
    ]


RULES = (short_readme, tree_matches_files, links_resolve, named_files_exist)


@pytest.mark.parametrize("rule", RULES)
def test_the_documentation_is_true(rule: Callable[[Path, str], list[str]]) -> None:
    assert rule(ROOT, (ROOT / "README.md").read_text()) == []


@pytest.mark.parametrize(
    ("rule", "old", "new", "complaint"),
    [
        (short_readme, "\n", "\n\n", "lines; at most 150"),
        (tree_matches_files, "\nMakefile ", "\nMakefil ", "Makefil does not exist"),
        (tree_matches_files, "\nMakefile ", "\nREADME.md ", "Makefile is not in the tree"),
        (tree_matches_files, " policy.py ", " ", "reelward/policy.py is not in the tree"),
        (tree_matches_files, "  runtime/ ", "  run/ ", "reelward/run does not exist"),
        (tree_matches_files, "\ndvc.yaml ", "\ndvc.yml ", "expected one tree, got 0"),
        (links_resolve, "(docs/robots.md)", "(docs/robot.md)", "docs/robot.md does not exist"),
        (named_files_exist, "`rewards/best.py`", "`stages/learn.py`", "stages/learn.py does not"),
    ],
)
def test_a_false_statement_is_found(
    rule: Callable[[Path, str], list[str]], old: str, new: str, complaint: str
) -> None:
    readme = (ROOT / "README.md").read_text()
    assert old in readme
    assert any(complaint in line for line in rule(ROOT, readme.replace(old, new)))
