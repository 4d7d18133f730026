"""The form of tensors: shapes, indices, new tensors, and operations that move or pick axes.

Axis 0 of a tensor `[N, ...]` is the environments. Nothing here reads, moves or merges it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from reelward.language.builder import Builder
from reelward.language.errors import Fail, nearest
from reelward.language.graph import Tensor, shape_text
from reelward.language.values import COUNT, Args, Kwargs, describe, is_number

Call = Callable[[Any, Args, Kwargs], Any]
"""what a name means: (builder, arguments, keyword arguments) -> value"""


def shape(x: Tensor) -> tuple[Any, ...]:
    sizes = tuple(x.meta.shape)
    return (COUNT, *sizes[1:]) if x.batched else sizes


# -- indices


def index(c: Builder, x: Tensor, key: Any) -> Any:
    """`x[key]` with slices, whole numbers, names, lists of them, None and `...`; never axis 0."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if x.names and _are_names(keys[0]):
        keys = [slice(None), *keys]
    if len(keys) == 3 and all(isinstance(k, str) for k in keys[1:]) and x.meta.ndim == 2:
        wanted = ", ".join(map(repr, keys[1:]))
        raise Fail("E_SHAPE", f"{len(keys)} indices for {shape_text(x.meta)}", f"x[[{wanted}]]")
    missing = x.meta.ndim - sum(k is not None and k is not ... for k in keys)
    if missing < 0:
        raise Fail("E_SHAPE", f"{len(keys)} indices for {shape_text(x.meta)}")
    at = next((i for i, k in enumerate(keys) if k is ...), len(keys))
    keys[at : at + 1] = [slice(None)] * missing
    result: Any = x
    axis = 0
    for k in keys:
        if k is None:
            result, axis = c.op("unsqueeze", result, axis), axis + 1
            continue
        if isinstance(k, slice) and k in (slice(None), slice(0, None), slice(None, None, 1)):
            axis += 1
            continue
        if axis == 0 and x.batched:
            hint = "use torch.where(mask, a, b)" if isinstance(k, Tensor) else ""
            raise Fail(
                "E_BATCH",
                f"axis 0 of {shape_text(x.meta)} is the environments: they cannot be picked out",
                hint or "x[:, 0] is the first column",
            )
        if isinstance(k, Tensor):
            raise Fail(
                "E_STATIC", "an index must be known while compiling", "use torch.where(mask, a, b)"
            )
        k = _column(x, k, result is x or axis == 1)
        result = _pick(c, result, axis, k, shape_text(x.meta))
        axis += isinstance(k, (slice, list))
    return result


def _pick(c: Builder, x: Tensor, axis: int, key: int | slice | list[Any], whole: str) -> Any:
    """`x` indexed along one axis. `whole` is the shape that messages name."""
    size = x.meta.shape[axis]
    if isinstance(key, slice):
        columns = range(*key.indices(size))
        if not columns:
            raise Fail("E_SHAPE", f"the slice of axis {axis} of {whole} is empty")
        if columns.step == 1:
            return c.op("narrow", x, axis, columns.start, len(columns))
        return c.op("take", x, axis, c.array(list(columns)))
    if isinstance(key, list):
        if not key or not all(isinstance(i, int) and -size <= i < size for i in key):
            raise Fail("E_ARG", f"no such columns of axis {axis} of {whole}")
        return c.op("take", x, axis, c.array([i % size for i in key]))
    if not -size <= key < size:
        raise Fail(
            "E_ARG", f"there is no column {key} of axis {axis} of {whole}", f"0 to {size - 1}"
        )
    return c.op("select", x, axis, key % size)


def _are_names(key: Any) -> bool:
    names = [key] if isinstance(key, str) else key
    return isinstance(names, (list, tuple)) and bool(names) and all(type(k) is str for k in names)


def _column(x: Tensor, key: Any, named: bool) -> Any:
    """An index of one axis: names become numbers."""
    if _are_names(key):
        wanted = [key] if isinstance(key, str) else key
        for name in wanted:
            if not named or name not in x.names:
                raise Fail(
                    "E_FIELD",
                    f"there is no column {name!r} here",
                    nearest(name, x.names)
                    if named and x.names
                    else "these columns have numbers, not names: x[:, 0]",
                )
        numbers = [x.names.index(name) for name in wanted]
        return numbers[0] if isinstance(key, str) else numbers
    if isinstance(key, (list, tuple)):
        return list(key)
    if isinstance(key, slice) or isinstance(key, int) and not isinstance(key, bool):
        return key
    raise Fail("E_STATIC", f"{describe(key)} is not an index")


# -- new tensors


def sizes_of(args: Args) -> list[Any]:
    """The shape that the arguments name, as one tuple or one by one."""
    sizes = list(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else list(args)
    if not all(s is COUNT or isinstance(s, int) for s in sizes):
        raise Fail(
            "E_STATIC",
            "a shape is made of whole numbers known while compiling",
            "s.time.shape[0] is the number of environments",
        )
    return sizes


def filled(c: Builder, sizes: Sequence[Any], value: Any) -> Any:
    if not is_number(value):
        raise Fail("E_TYPE", f"cannot fill a tensor with {describe(value)}")
    if COUNT in sizes:
        if sizes[0] is not COUNT or COUNT in sizes[1:]:
            raise Fail("E_BATCH", "the number of environments comes first in a shape, and once")
        return c.filled(value, sizes[1:])
    if not sizes:
        return value
    if math.prod(sizes) > 1024 or min(sizes) < 1:
        raise Fail("E_LIMIT", "a constant tensor has 1 to 1024 numbers")
    rows: Any = value
    for size in reversed(sizes):
        rows = [rows] * size
    return c.array(rows)


def fill(value: float) -> Call:
    return lambda c, args, kwargs: filled(
        c, sizes_of(args or [kwargs.get("size", kwargs.get("shape", ()))]), value
    )


def fill_like(value: float) -> Call:
    def call(c: Builder, args: Args, kwargs: Kwargs) -> Any:
        x = args[0] if args else None
        return filled(c, shape(x), value) if isinstance(x, Tensor) else value

    return call


def full(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    size, value = (*args, *[kwargs[k] for k in ("size", "fill_value") if k in kwargs])[:2]
    return filled(c, sizes_of([size]), value)


def full_like(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    value = args[1] if len(args) > 1 else kwargs.get("fill_value")
    return filled(c, shape(args[0]), value) if isinstance(args[0], Tensor) else value


# -- axes


def joined(name: str, default: int) -> Call:
    """stack or cat."""

    def call(c: Builder, args: Args, kwargs: Kwargs) -> Any:
        axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else default))
        return c.op(name, axis, *[c.filled(v) for v in c.items(args[0])])

    return call


def reshape(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    x, sizes = args[0], sizes_of(args[1:])
    if not isinstance(x, Tensor) or not x.batched:
        raise Fail("E_TYPE", f"reshape of {describe(x)}", "write the array in its final form")
    total = math.prod(x.meta.shape[1:])
    if sizes == [-1] and total == 1:
        sizes = [COUNT]
    if sizes[:1] == [-1] and total == math.prod(s for s in sizes[1:] if s is not COUNT):
        sizes[0] = COUNT
    if sizes[:1] != [COUNT] or COUNT in sizes[1:]:
        raise Fail(
            "E_BATCH",
            f"reshape of {shape_text(x.meta)} would mix the environments",
            "the first size stays x.shape[0]",
        )
    if sizes.count(-1) == 1:
        known = math.prod(s for s in sizes[1:] if s != -1)
        sizes[sizes.index(-1)] = total // known if known and total % known == 0 else 0
    return c.op("reshape", x, sizes[1:])


def flatten(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    start = args[1] if len(args) > 1 else kwargs.get("start_dim", 0)
    if start == 1 and isinstance(args[0], Tensor):
        return reshape(c, [args[0], COUNT, math.prod(args[0].meta.shape[1:])], {})
    raise Fail("E_BATCH", "flatten would mix the environments", "x.flatten(start_dim=1)")


def expand(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    x, sizes = args[0], sizes_of(args[1:])
    if not isinstance(x, Tensor) or sizes[:1] not in ([COUNT], [-1]):
        raise Fail("E_BATCH", "expand keeps the environments first", "x.expand(x.shape[0], 3)")
    old = list(x.meta.shape)
    return c.op("expand", x, [old[i] if s == -1 else s for i, s in enumerate(sizes)][1:])


def _axis(x: Tensor, axis: Any) -> int:
    if not isinstance(axis, int) or not -x.meta.ndim <= axis < x.meta.ndim:
        raise Fail("E_SHAPE", f"{shape_text(x.meta)} has no axis {describe(axis)}")
    return axis % x.meta.ndim


def squeeze(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    x = args[0]
    axis = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis"))
    if not isinstance(x, Tensor):
        return x
    ndim, sizes = x.meta.ndim, x.meta.shape
    axes = range(ndim) if axis is None else [_axis(x, axis)]
    for a in sorted(axes, reverse=True):
        if sizes[a] == 1:
            x = c.op("select", x, a, 0)
    return x


def transpose(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    x, *axes = args
    if not isinstance(x, Tensor) or len(axes) != 2:
        raise Fail("E_ARG", "transpose takes a tensor and two axes", "x.transpose(1, 2)")
    order = list(range(x.meta.ndim))
    a, b = (_axis(x, i) for i in axes)
    order[a], order[b] = order[b], order[a]
    return c.op("permute", x, order)


def permute(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    return c.op("permute", args[0], sizes_of(args[1:]))


def unbind(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    x = args[0]
    dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
    if not isinstance(x, Tensor):
        raise Fail("E_ARG", "unbind takes a tensor and dim", "x.unbind(dim=-1)")
    dim = _axis(x, dim)
    return tuple(c.op("select", x, dim, i) for i in range(x.meta.shape[dim] if dim else 1))
