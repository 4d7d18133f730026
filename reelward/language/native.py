"""Native terms: Python functions of the user, state -> [N], under names that a reward may call.

Only the user's params.yaml names them, never an author's text, because they are imported and run.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelward.language.errors import nearest
from reelward.runtime.validation import read_yaml

if TYPE_CHECKING:
    import torch

    Term = functools.partial[torch.Tensor]

Settings = Mapping[str, Mapping[str, Any]]
"""`{name: {"function": "package.module:name", keyword: value, ...}}`, as in params.yaml"""


class NativeError(ValueError):
    """A native term that cannot be used, in one line."""


def read_native(params: Path) -> Settings:
    """The section `native` of a params.yaml."""
    return read_yaml(params).get("native") or {}


def native_terms(named: Settings) -> dict[str, Term]:
    """The functions, their keyword arguments bound. Raises NativeError."""
    if not isinstance(named, Mapping):
        raise NativeError("native: expected names, each with its function, or null")
    return {str(name): _bound(f"native.{name}", name, given) for name, given in named.items()}


def _bound(where: str, name: Any, given: Any) -> Term:
    from reelward.language.compiler import library  # loads torch, which few commands need
    from reelward.language.spellings import PYTHON

    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise NativeError(f"{where}: expected a name of letters, digits and _")
    if name in library().names or name in PYTHON:
        raise NativeError(f"{where}: the language has a function of this name; take another")
    path = given.get("function") if isinstance(given, Mapping) else None
    module, _, attribute = str(path).partition(":")
    if not module or not attribute:
        raise NativeError(f"{where}: expected function: package.module:name, got {path}")
    try:
        imported = importlib.import_module(module)
        if not hasattr(imported, attribute):
            functions = [n for n, f in vars(imported).items() if callable(f) and n[0] != "_"]
            hint = nearest(attribute, functions)
            raise NativeError(f"{where}: {module} has no attribute {attribute!r}; {hint}")
        function = getattr(imported, attribute)
        keywords = {k: v for k, v in given.items() if k != "function"}
        inspect.signature(function).bind({}, **keywords)
    except NativeError:
        raise
    except Exception as error:  # whatever the user's module does when it is imported
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise NativeError(
            f"{where}: {path} cannot be called with the state and these keywords ({why}); "
            "install it in this environment and name its keywords"
        ) from error
    return functools.partial(function, **keywords)


def native_card(named: Settings) -> list[dict[str, str]]:
    """Name of each native term, and the first line of its docstring."""
    return [
        {"name": name, "what": next(iter((inspect.getdoc(term.func) or "").splitlines()), "")}
        for name, term in native_terms(named).items()
    ]
