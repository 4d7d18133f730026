"""What pydantic finds wrong with a robot.yaml, as one line for each key."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from reelward.runtime.validation import expected, nearest, shortened


def complaints(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    """A line for each key of the YAML of a robot of this `kind` that is wrong: its path, what was
    expected, and what came."""
    lines: dict[str, str] = {}
    for found in error.errors():
        path, hint, unknown_in = _followed(found["loc"], kind)
        value = shortened(found["input"])
        if found["type"] == "missing":
            text = f"{path} is missing: expected {_words(hint)}"
        elif found["type"] == "extra_forbidden":
            text = f"{path} = {value}: unknown key; {nearest(path.rpartition('.')[2], unknown_in)}"
        elif found["type"] == "value_error":
            reason = found["msg"].removeprefix("Value error, ")
            text = f"{path}: {reason}" if path else reason
        else:
            text = f"{path} = {value}: expected {_words(hint)}"
        lines.setdefault(path or text, text)
    return list(lines.values())


def _followed(loc: tuple[int | str, ...], kind: Any) -> tuple[str, Any, list[str]]:
    """The path of keys of pydantic's `loc`, the type of the value there, and the keys known beside
    it. Pydantic also names the branch of a union in a `loc`; such names are left out."""
    path, known = "", []
    for i, part in enumerate(loc):
        options = _branches(kind)
        models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if len(models) > 1:  # `part` is the kind of a section that has several
            chosen = [m for m in models if part in get_args(get_type_hints(m)["kind"])]
            kind = (chosen or models)[0]
            continue
        if models:
            hints = get_type_hints(models[0], include_extras=True)
            aliases = {f.alias or n: n for n, f in models[0].model_fields.items()}
            known = [k for k in aliases if k not in ("name", "folder")]
            kind = hints.get(aliases.get(str(part), ""), Any)
        elif any(get_origin(_bare(o)) in (dict, Mapping) for o in options):
            kind = next(get_args(_bare(o))[1] for o in options if get_origin(_bare(o)) is dict)
            if loc[i + 1 :] == ("[key]",):
                return f"{path}.{part}", str, known
        elif isinstance(part, int):
            lists = [o for o in options if get_origin(_bare(o)) is tuple]
            if not lists:
                continue
            inner = get_args(_bare(lists[0]))
            kind = inner[0] if ... in inner else inner[min(part, len(inner) - 1)]
        else:
            continue  # the branch of a union
        path = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}".lstrip(".")
    return path, kind, known


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _branches(hint: Any) -> list[Any]:
    """The types that a union allows; the type itself where it is none."""
    bare = _bare(hint)
    if get_origin(bare) in (Union, types.UnionType):
        return [o for o in get_args(bare) if o is not type(None)]
    return [bare if isinstance(bare, type) else hint]


def _words(hint: Any) -> str:
    options = _branches(hint)
    models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    if models:
        keys = " or ".join(", ".join(m.model_fields) for m in models)
        return f"keys among {keys}"
    if get_origin(_bare(hint)) is dict:
        return "keys and values"
    return expected(hint)
