"""Lists, dicts and words: their elements and methods, and the functions of plain Python.

All of this happens while compiling; nothing of it is left in the graph but the tensors inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from reelward.language.builder import Builder
from reelward.language.errors import Fail, nearest
from reelward.language.graph import Tensor
from reelward.language.tensors import Call, shape
from reelward.language.values import Args, Kwargs, describe, is_number


class Frozen(dict[Any, Any]):
    """A dict at module level: read only."""


def freeze(c: Builder, value: Any) -> Any:
    """A module constant: lists become tuples, and dicts cannot be written to."""
    c.spend()
    if isinstance(value, (list, tuple)):
        if hasattr(value, "_make"):  # a named tuple keeps its kind
            return value
        return tuple(freeze(c, v) for v in value)
    if isinstance(value, dict):
        return Frozen({k: freeze(c, v) for k, v in value.items()})
    return value


# -- elements


def element(value: Any, key: Any) -> Any:
    """`value[key]` of a dict, list, tuple or word."""
    match value:
        case dict():
            if not isinstance(key, (str, int, float)) or key not in value:
                hint = nearest(str(key), map(str, value))
                raise Fail("E_ARG", f"the dict has no key {key!r:.60}", hint)
            return value[key]
        case tuple() | list() | str():
            if isinstance(key, slice) or isinstance(key, int) and -len(value) <= key < len(value):
                return value[key]
            raise Fail("E_ARG", f"there is no element {describe(key)} of {len(value)}")
        case _:
            raise Fail("E_TYPE", f"{describe(value)} has no elements")


def set_element(c: Builder, container: Any, key: Any, value: Any) -> None:
    """`container[key] = value`. Raises Fail where it cannot be written to."""
    if type(container) is dict and isinstance(key, (str, int, float)):
        container[key] = value
    elif isinstance(container, list) and isinstance(key, int):
        if not -len(container) <= key < len(container):
            raise Fail("E_ARG", f"there is no element {key} of {len(container)}")
        container[key] = value
    else:
        raise Fail(
            "E_STATE",
            f"{describe(container)} cannot be written to",
            "module constants stay as they are; build a new list or dict in the function",
        )
    c.room(container)


# -- methods


def _append(c: Builder, x: Any, item: Any) -> None:
    x.append(item)
    c.room(x)


def _extend(c: Builder, x: Any, items: Any) -> None:
    x.extend(c.items(items))
    c.room(x)


def _update(c: Builder, x: Any, other: Any) -> None:
    x.update(c.mapping(other))
    c.room(x)


def _get(c: Builder, x: Any, key: Any, default: Any = None) -> Any:
    return x.get(c.key(key), default)


METHODS: dict[type, dict[str, Callable[..., Any]]] = {
    list: {"append": _append, "extend": _extend},
    dict: {"items": lambda c, x: list(x.items()), "keys": lambda c, x: list(x),
           "values": lambda c, x: list(x.values()), "get": _get, "update": _update,
           "copy": lambda c, x: dict(x)},
    str: {"startswith": lambda c, x, y: x.startswith(c.word(y)),
          "endswith": lambda c, x, y: x.endswith(c.word(y))},
}  # fmt: skip


def method(value: Any, name: str) -> Call | None:
    """The method of a list, dict or word; None where it has none of this name."""
    kind = type(value) if type(value) in METHODS else dict
    call = METHODS[kind].get(name)
    if call is None or type(value) not in METHODS and name == "update":
        return None

    def bound(c: Builder, args: Args, kwargs: Kwargs) -> Any:
        if kwargs or len(args) > 2:
            raise Fail("E_ARG", "too many arguments, or named ones")
        return call(c, value, *args)

    return bound


# -- functions of plain Python


def _several(pair: str) -> Call:
    """Python's max and min: of numbers or tensors, or of one list of them."""

    def call(c: Builder, args: Args, kwargs: Kwargs) -> Any:
        values = c.items(args[0]) if len(args) == 1 else list(args)
        if not values or kwargs:
            raise Fail("E_ARG", "an extreme of nothing, or with named arguments")
        result = values[0]
        for value in values[1:]:
            result = c.op(pair, result, value)
        return result

    return call


def _total(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    """Python's sum, over a list of tensors or numbers."""
    result: Any = args[1] if len(args) > 1 else 0
    values = c.items(args[0])
    for i, value in enumerate(values):
        result = (
            value if i == 0 and type(result) is int and result == 0 else c.op("add", result, value)
        )
    return result


def _range(c: Builder, args: Args, kwargs: Kwargs) -> list[int]:
    if not all(type(a) is int for a in args) or not 1 <= len(args) <= 3 or args[2:] == [0]:
        raise Fail(
            "E_STATIC",
            "a range is made of whole numbers known while compiling",
            "range(s.joint_pos.shape[1]) goes over the joints",
        )
    if len(range(*args)) > 1000:
        raise Fail("E_LIMIT", "a range of more than 1000")
    return list(range(*args))


def _length(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    (x,) = args
    if isinstance(x, Tensor):
        return shape(x)[0]
    if isinstance(x, (list, tuple, dict, str)):
        return len(x)
    raise Fail("E_TYPE", f"len of {describe(x)}")


def _zip(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    return list(zip(*[c.items(a) for a in args], strict=False))


def _enumerate(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    start = args[1] if len(args) > 1 else kwargs.get("start", 0)
    return list(enumerate(c.items(args[0]), start))


def _sorted(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    values = c.items(args[0])
    if kwargs or not (all(map(is_number, values)) or all(isinstance(v, str) for v in values)):
        raise Fail(
            "E_STATIC", "only plain numbers or words are sorted", "use max(a, b) or min(a, b)"
        )
    return sorted(values)


def _dict(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    named = {c.entry(k): v for k, v in kwargs.items()}
    if not args:
        return named
    if isinstance(args[0], dict):
        return args[0] | named
    return {c.entry(k): v for k, v in map(c.items, c.items(args[0]))} | named


def _round(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    x, *digits = args
    if isinstance(x, Tensor):
        return c.op("round", x)
    if not is_number(x) or not math.isfinite(x) or not all(type(d) is int for d in digits):
        raise Fail("E_TYPE", f"round of {describe(x)}")
    if any(abs(d) > 300 for d in digits):  # Python would compute a number of that many digits
        raise Fail("E_ARG", f"round to {digits[0]} digits")
    return round(x, *digits[:1])


FUNCTIONS: dict[str, Call] = {
    "round": _round, "max": _several("maximum"), "min": _several("minimum"), "sum": _total,
    "len": _length, "range": _range, "zip": _zip, "enumerate": _enumerate, "sorted": _sorted,
    "list": lambda c, args, kwargs: c.items(args[0]) if args else [],
    "tuple": lambda c, args, kwargs: tuple(c.items(args[0])) if args else (),
    "reversed": lambda c, args, kwargs: c.items(args[0])[::-1],
    "dict": _dict,
}  # fmt: skip
