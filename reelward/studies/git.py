"""Git, as the studies use it: one command at a time, errors in one line.

Commits take a given list of paths and nothing else. Where git has no identity, these commits get one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from reelward.runtime.words import show

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""Options of git for changes that are not a person's: a hook that fails would leave them half done."""


class StudyError(ValueError):
    """A study that cannot be made or entered."""


def git(*args: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """The output of a git command. Raises StudyError with git's complaint in one line."""
    process = subprocess.run(
        ("git", *args),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, **(env or {})},
    )
    if process.returncode:
        complaint = " ".join((process.stderr or process.stdout).split())
        complaint = complaint or f"exit code {process.returncode} without a word"
        raise StudyError(f"git {args[2 if args[0] == '-c' else 0]}: {complaint}")
    return process.stdout


def changed(*paths: str) -> bool:
    """Whether anything in `paths` differs from the last commit."""
    return bool(uncommitted(*paths))


def uncommitted(*paths: str) -> dict[str, str]:
    """The files in `paths` that differ from the last commit, each with git's two letters for how;
    `??` is a file that git does not know."""
    entries = git(
        "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *paths
    )
    return {entry[3:]: entry[:2] for entry in entries.split("\0") if entry}


def contents(*objects: str) -> list[str | None]:
    """The text of each of `objects`, such as `main:params.yaml`, by one process; None where there is
    no such object."""
    process = subprocess.run(
        ("git", "cat-file", "--batch"), input="\n".join(objects).encode(), capture_output=True
    )
    rest, texts = process.stdout, list[str | None]()
    while rest:
        head, _, rest = rest.partition(b"\n")
        if head.endswith(b" missing"):
            texts.append(None)
            continue
        size = int(head.rpartition(b" ")[2])
        texts.append(rest[:size].decode(errors="replace"))
        rest = rest[size + 1 :]
    return texts


def commit(paths: Iterable[str], message: str) -> bool:
    """Commit what changed in `paths`, without hooks. Returns whether there was a commit."""
    paths = tuple(paths)
    if existing := [p for p in paths if Path(p).exists()]:
        git("add", "--", *existing)
    names = git("diff", "--cached", "--name-only", "-z", "--", *paths).split("\0")[:-1]
    if not names:
        return False
    words = ("--quiet", "--message", message, "--", *names)
    try:
        git(*NO_HOOKS, "commit", *words, env=_identity())
    except StudyError as error:
        if not _signs():
            raise
        git(*NO_HOOKS, "commit", "--no-gpg-sign", *words, env=_identity())
        _warn_unsigned(error)
    return True


def new_commit(
    base: str,
    message: str,
    *,
    added: Iterable[str],
    removed: Iterable[str],
    texts: Mapping[str, str],
) -> str:
    """Make a commit on top of `base` and return its id. It has the files `added` as they are here,
    lacks the files `removed`, and has each of the `texts` at its path.

    No branch, no file and not the index is touched, and no hook runs. Where git is set to sign and
    cannot, the commit is not signed. Raises StudyError.
    """
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": f"{folder}/index"}
        git("read-tree", base, env=env)
        if names := tuple(added):  # without names, git would add the whole folder
            git("add", "--all", "--", *names, env=env)
        git("rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", *removed, env=env)
        for path, text in texts.items():
            blob = git("hash-object", "-w", "--stdin", stdin=text).strip()
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
        tree = git("write-tree", env=env).strip()
    words = (tree, "-p", base, "-m", message)
    if _signs():
        try:
            return git("commit-tree", "-S", *words, env=_identity()).strip()
        except StudyError as error:
            _warn_unsigned(error)
    return git("commit-tree", *words, env=_identity()).strip()


def enter_new_branch(branch: str, commit: str, prepared: Iterable[str]) -> None:
    """Make a branch at `commit` and check it out. The files `prepared` may differ from the last commit:
    their content here is replaced by that of `commit`. Raises StudyError, and then the branch, the
    index and all files are as they were."""
    names = tuple(prepared)
    index = Path(git("rev-parse", "--git-path", "index").strip())
    contents = {p: p.read_bytes() if p.is_file() else None for p in map(Path, names)}
    before = index.read_bytes()
    git(*NO_HOOKS, "branch", branch, commit)
    try:
        if names:
            git("restore", f"--source={commit}", "--staged", "--worktree", "--", *names)
        git(*NO_HOOKS, "switch", "--quiet", branch)
    except BaseException:
        git(*NO_HOOKS, "branch", "--quiet", "--delete", "--force", branch)
        for path, content in contents.items():
            _put_back(path, content)
        if index.read_bytes() != before:
            index.write_bytes(before)
        raise


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _signs() -> bool:
    return git("config", "--type=bool", "--default=false", "commit.gpgsign").strip() == "true"


def _warn_unsigned(error: StudyError) -> None:
    show(f"reelward: the commit is not signed, for git could not: {error}", sys.stderr)


def _identity() -> dict[str, str]:
    try:
        git("var", "GIT_AUTHOR_IDENT")
        git("var", "GIT_COMMITTER_IDENT")
        return {}
    except StudyError:
        who = {"NAME": "reelward", "EMAIL": "reelward@localhost"}
        return {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
