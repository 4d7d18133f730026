"""Check values against annotated types and say in one line what is wrong with each."""

from __future__ import annotations

import difflib
import json
import types
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML, YAMLError

from reelward.runtime.errors import InputError
from reelward.runtime.words import one_line, printable

MAX_YAML = 200_000
"""characters in a file, and values in it"""
MAX_DEPTH = 50
"""lists and mappings in each other"""


def validate(Args: type, values: Mapping[str, object], where: str = "") -> list[str]:
    """A line for each key of `values` that is no field of `Args`, or whose value has another type or
    range than the field says. Each line begins with `where` and the key."""
    hints = get_type_hints(Args, include_extras=True)
    complaints = []
    for key, value in values.items():
        begin = f"{where}{shortened(key)} = {shortened(value)}: "
        if key not in hints:
            complaints.append(begin + "unknown key; " + nearest(key, hints))
            continue
        try:
            text = json.dumps(value, allow_nan=False, default=str)
            TypeAdapter(hints[key]).validate_json(text, strict=True)
        except (ValidationError, ValueError):
            complaints.append(begin + f"expected {expected(hints[key])}")
    return complaints


def nearest(key: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """A hint for an unknown name: the nearest known one, or else `otherwise`, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(str(key), names, 1, 0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"known keys: {', '.join(names)}" if otherwise is None else otherwise


def is_plain(text: str) -> bool:
    """Whether a text is one line without control characters, as a command line and YAML need it."""
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)


def shortened(value: Any) -> str:
    """A value as at most 60 printable characters of one line."""
    text = str(value) if isinstance(value, str | Path) else json.dumps(value, default=str)
    text = printable(text)
    return text if len(text) <= 60 else text[:57] + "..."


def expected(hint: Any) -> str:
    """A type and its range in words, e.g. `a number between 0 and 1`."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        limits = [c for m in inner[1:] for c in getattr(m, "metadata", [m])]
        b = {k: getattr(c, k) for c in limits for k in ("gt", "ge", "lt", "le") if hasattr(c, k)}
        for form in filter(None, (getattr(m, "description", None) for m in inner[1:])):
            return str(form)
        if set(b) == {"ge", "le"}:
            return f"{expected(inner[0])} between {b['ge']} and {b['le']}"
        words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
        return " ".join((expected(inner[0]), " and ".join(f"{words[k]} {b[k]}" for k in b))).strip()
    if origin is Literal:
        return f"one of {', '.join(map(shortened, inner))}"
    if origin in (Union, types.UnionType):
        return " or ".join(map(expected, inner)).strip(",")
    if origin in (tuple, list):
        count = "" if origin is list or ... in inner else f" of {len(inner)}"
        return f"a list{count}, each {expected(inner[0])},"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return (names | {Path: "a path", type(None): "null"}).get(hint, str(hint))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping of text, numbers, lists and mappings, read as DVC reads it (YAML 1.2). Raises
    InputError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if len(text) > MAX_YAML:
            raise InputError(f"{path}: expected at most {MAX_YAML} characters, got {len(text)}")
        content = YAML(typ="safe", pure=True).load(text)  # libyaml dies of a deep nesting
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (YAMLError, ValueError, KeyError, RecursionError) as e:
        mark = getattr(e, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        why = one_line(getattr(e, "problem", None) or e)
        raise InputError(f"{path}{line}: no YAML: {why}") from None
    if why := _unusable(content):
        raise InputError(f"{path}: {why}")
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected keys and values, got {shortened(content)}")
    return content


def _unusable(content: object) -> str:
    """What is wrong with a value out of YAML, whose aliases may repeat or contain themselves."""
    left, count = [(content, 0)], 0
    while left:
        value, depth = left.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_YAML:
            return f"expected at most {MAX_DEPTH} levels and {MAX_YAML} values, aliases counted"
        if isinstance(value, dict):
            if odd := [key for key in value if not isinstance(key, str)]:
                return f"expected text for a key, got {one_line(odd[0], 60)}"
            left += [(part, depth + 1) for part in (*value, *value.values())]
        elif isinstance(value, list):
            left += [(part, depth + 1) for part in value]
        elif isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            return f"expected text, got half a character in {one_line(ascii(value), 60)}"
        elif not isinstance(value, str | int | float | date | None):
            return f"expected text, a number, a list or keys, got {type(value).__name__}"
    return ""
