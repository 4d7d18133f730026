"""The tables of docs/reward-language.md, from the code: `python -m reelward.authors.reference FILE`."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

from reelward.language.builder import MAX_LENGTH, MAX_STEPS
from reelward.language.compiler import library_files
from reelward.language.containers import METHODS
from reelward.language.errors import CODES
from reelward.language.graph import MAX_NODES, MAX_SIZE, MAX_TOTAL
from reelward.language.main import MAX_TERMS
from reelward.language.ops import DEFAULTS, OPS, SPELLINGS
from reelward.language.source import MAX_BRACKETS, MAX_SOURCE
from reelward.language.spellings import NUMBERS, PYTHON, SPECIAL
from reelward.language.statements import MAX_CALLS


def library_table() -> str:
    """Every function of the standard library with its one-line description."""
    rows = ["| function | what it is |", "|---|---|"]
    for file in reversed(library_files()):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                text = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
                rows.append(f"| `{node.name}({ast.unparse(node.args)})` | {text} |")
    return "\n".join(rows)


def operations_table() -> str:
    """Every operation of the language, grouped by its arguments."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, op in OPS.items():
        spellings = [s for s, meant in SPELLINGS.items() if meant == name and s not in SPECIAL]
        if spellings:
            params = [_param(p, DEFAULTS[name]) for p in op.params]
            first, *others = spellings
            also = f" ({', '.join(others)})" if others else ""
            groups[", ".join(params)].append(f"{first}{also}")
    rows = ["| arguments | operations |", "|---|---|"]
    rows += [f"| `{args}` | {', '.join(names)} |" for args, names in groups.items()]
    rows.append(f"| as in torch | {', '.join(SPECIAL)} |")
    rows.append(f"| as in Python, while compiling | {', '.join(PYTHON)} |")
    for kind, methods in METHODS.items():
        rows.append(f"| methods of a {kind.__name__} | {', '.join(methods)} |")
    return "\n".join([*rows, f"| numbers | {', '.join(NUMBERS)} |"])


def _param(param: str, defaults: dict[str, object]) -> str:
    name = param.partition("_")[2] or param
    name = {"keep": "keepdim"}.get(name, name)
    return f"{name}={defaults[param]}" if param in defaults else name


def errors_table() -> str:
    return "\n".join(
        [
            "| code | meaning |",
            "|---|---|",
            *[f"| `{code}` | {meaning} |" for code, meaning in CODES.items()],
        ]
    )


def limits_table() -> str:
    limits = {
        "source": f"{MAX_SOURCE // 1024} KiB", "brackets inside brackets": MAX_BRACKETS,
        "terms": MAX_TERMS, "operations in the graph": MAX_NODES,
        "numbers an environment in one value": MAX_SIZE,
        "numbers an environment in all values": MAX_TOTAL,
        "steps while compiling (unrolled loops count each time)": MAX_STEPS,
        "functions inside functions": MAX_CALLS, "elements of a list": MAX_LENGTH,
    }  # fmt: skip
    return "\n".join(["| limit | |", "|---|---|", *[f"| {k} | {v} |" for k, v in limits.items()]])


TABLES = {"library": library_table, "operations": operations_table, "errors": errors_table,
          "limits": limits_table}  # fmt: skip


def filled(page: str) -> str:
    """`page` with each table between `<!-- NAME -->` and `<!-- /NAME -->` replaced by the current one."""
    return re.sub(
        r"(<!-- (\w+) -->\n).*?(<!-- /\2 -->)",
        lambda m: f"{m[1]}{TABLES[m[2]]()}\n{m[3]}",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
