"""The help page of a stage, made from its source: to import a stage may take seconds."""

from __future__ import annotations

import argparse
import ast
import typing
from pathlib import Path

from pydantic import Field

from reelward import records
from reelward.runtime.validation import expected


def usage(file: Path, module: str) -> str:
    """The help page of the stage in `file`, called by `python -m module`. Its options are the fields
    of its class Args, each explained by the string below it."""
    tree = ast.parse(file.read_text())
    args = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Args")
    parser = argparse.ArgumentParser(
        f"python -m {module}",
        description=ast.get_docstring(tree),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    types = _types(tree)
    for field, below in zip(args.body, [*args.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        words = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            words = " ".join(str(below.value.value).split())
        if (hint := _hint(field.annotation, types)) is not None:
            words += f" ({expected(hint)})"
        option = f"--{field.target.id.replace('_', '-')}"
        parser.add_argument(option, metavar="", help=words.replace("%", "%%"))
    return parser.format_help()


def _types(tree: ast.Module) -> dict[str, object]:
    """What the annotations of a stage are made of, as far as no heavy library is needed."""
    types = {**vars(typing), **vars(records), "Field": Field, "Path": Path, "Out": Path}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                types[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                types[node.targets[0].id] = _hint(node.value, types)
    return types


def _hint(annotation: ast.expr, types: dict[str, object]) -> object:
    """The type that an annotation names; None for one of a library that only the stage imports."""
    holder = type("Args", (), {"__annotations__": {"field": ast.unparse(annotation)}})
    try:
        return typing.get_type_hints(holder, types, include_extras=True)["field"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None
