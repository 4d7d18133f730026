"""Spellings: how torch, numpy, math, plain Python and methods say what the table of `ops` can do.

Most names are one operation (`SPELLINGS`). Those here mean different things for different arguments, or
take them in another order, or are worked out while compiling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from reelward.language.errors import Fail, nearest
from reelward.language.graph import Tensor, shape_text
from reelward.language.ops import DEFAULTS, OPS, SPELLINGS
from reelward.language.values import (
    COUNT,
    SKIPPED,
    Builtin,
    Dtype,
    Extreme,
    Module,
    Skipped,
    describe,
    is_number,
)

if TYPE_CHECKING:
    from reelward.language.interpret import Interpreter

Call = Callable[["Interpreter", Sequence[Any], dict[str, Any]], Any]

MODULES = ("torch", "numpy", "math", "typing", "__future__", "reelward")
NAMESPACES = ("linalg", "nn", "functional", "special")
NUMBERS = {"pi": math.pi, "e": math.e, "tau": math.tau, "inf": math.inf}
TYPES = {
    **dict.fromkeys(("float", "float16", "float32", "float64", "double", "half", "FloatTensor"),
                    "float32"),
    **dict.fromkeys(("int", "int32", "int64", "long"), "int64"),
    **dict.fromkeys(("bool", "bool_"), "bool"),
}  # fmt: skip
KEYWORDS = {
    "keepdim": "flag_keep", "keepdims": "flag_keep", "p": "k_p", "ord": "k_p",
    "min": "y", "a_min": "y", "max": "z", "a_max": "z", "other": "y", "input": "x", "self": "x",
    "a": "x", "b": "y", "x1": "x", "x2": "y", "exponent": "y", "condition": "x", "weight": "z",
    "end": "y", "nan": "k_nan", "n": "k_n", "correction": "k_correction", "ddof": "k_correction",
    "unbiased": "k_correction", "vec1": "x", "vec2": "y", "q": "k_q",
}  # fmt: skip
WITHOUT_EFFECT = ("device", "requires_grad", "non_blocking", "copy", "memory_format", "out")

PYTHON: dict[str, Call] = {}
"""bare names"""
SPECIAL: dict[str, Call] = {}
"""names after `torch.`, `np.` or a tensor"""
NUMPY: dict[str, Call] = {}
"""names that mean something else after `np.`"""


# -- one operation of the table


def call_op(c: Interpreter, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Binds the arguments as torch and numpy name them, and adds the operation."""
    op, defaults = OPS[name], DEFAULTS[name]
    kwargs = {k: v for k, v in kwargs.items() if k not in WITHOUT_EFFECT}
    dtype = kwargs.pop("dtype", None)
    known = {p.partition("_")[2] or p: p for p in op.params}
    bound = dict(zip(op.params, args, strict=False))
    usage = f"{name}({', '.join(known)})"
    if len(args) > len(op.params):
        raise Fail("E_ARG", f"{name} takes {len(op.params)} arguments, not {len(args)}", usage)
    for key, value in kwargs.items():
        param = known.get(key) or KEYWORDS.get(key, "")
        if key in ("dim", "axis", "dims"):
            param = "dim" if "dim" in op.params else "k_axis"
        if param not in op.params or param in bound:
            raise Fail("E_ARG", f"{name} has no argument {key!r} left to set", usage)
        bound[param] = value
    values = []
    for param in op.params:
        if param not in bound and param not in defaults:
            hint = "dim=-1 is the robot's own axis" if param == "dim" else usage
            raise Fail("E_ARG", f"{name} misses the argument {param!r}", hint)
        values.append(bound.get(param, defaults.get(param)))
    values = [_argument(c, op.kind(i), v, values[0]) for i, v in enumerate(values)]
    result = c.op(name, *values)
    return cast(c, result, dtype.name) if isinstance(dtype, Dtype) else result


def _argument(c: Interpreter, kind: str, value: Any, x: Any) -> Any:
    if kind == "x":
        return c.array(value) if isinstance(value, (list, tuple)) else value
    if kind == "dim" and value is None:
        return list(range(x.meta.ndim)) if isinstance(x, Tensor) else None
    if isinstance(value, Tensor):
        raise Fail("E_STATIC", f"{describe(value)} where a number known while compiling is needed")
    return list(value) if isinstance(value, tuple) else value


def _known_op(name: str) -> Call:
    return lambda c, args, kwargs: call_op(c, SPELLINGS[name], args, kwargs)


def lookup(name: str, numpy: bool = False) -> Call:
    """What a name after a module or a tensor means. Raises Fail."""
    if numpy and name in NUMPY:
        return NUMPY[name]
    if name in SPECIAL:
        return SPECIAL[name]
    if name in SPELLINGS:
        return _known_op(name)
    if name.endswith("_") and (name[:-1] in SPELLINGS or name[:-1] in SPECIAL):
        raise Fail("E_STATE", f"{name} writes into a tensor", f"use {name[:-1]} and its result")
    if name in ADVICE:
        raise Fail("E_OP", f"{name} is not in the language", ADVICE[name])
    raise Fail("E_OP", f"{name[:40]} is not in the language", nearest(name, [*SPELLINGS, *SPECIAL]))


ADVICE = {
    **dict.fromkeys(
        ("item", "tolist", "numpy"), "there is one value for each environment: keep the tensor"
    ),
    **dict.fromkeys(
        (
            "rand",
            "randn",
            "rand_like",
            "randn_like",
            "random",
            "randint",
            "normal",
            "manual_seed",
            "bernoulli",
        ),
        "a reward is the same each time: no randomness",
    ),
    **dict.fromkeys(("sort", "topk", "unique", "histc"), "use max, min, mean or median"),
    "einsum": "(x * y).sum(dim=-1)",
    "dot": "(x * y).sum(dim=-1)",
    "inner": "(x * y).sum(dim=-1)",
    "roll": "use indices: x[:, [1, 2, 0]]",
    "T": "the environments stay axis 0; x.transpose(1, 2) swaps the others",
    "mT": "x.transpose(1, 2)",
    "print": "leave it out",
}


# -- attributes


def module_attribute(module: Module, attr: str) -> Any:
    if attr in NAMESPACES:
        return module
    if attr in NUMBERS:
        return NUMBERS[attr]
    if attr == "newaxis":
        return None
    if attr in TYPES and not (module.name == "math"):
        return Dtype(TYPES[attr])
    if attr == "Tensor":
        return SKIPPED
    if attr == "device":
        return Builtin(attr, lambda c, args, kwargs: SKIPPED)
    return Builtin(attr, lookup(attr, module.name == "numpy"))


def attribute(c: Interpreter, value: Any, attr: str) -> Any:
    match value:
        case Tensor():
            if attr in ("shape", "ndim", "dtype", "device", "names", "data"):
                return {"shape": shape(value), "ndim": value.meta.ndim, "data": value,
                        "dtype": Dtype(value.dtype), "device": SKIPPED,
                        "names": value.names}[attr]  # fmt: skip
            return _method_of(value, attr)
        case bool() | int() | float():
            return _method_of(value, attr)
        case Extreme() if attr in ("values", "indices"):
            return value.values if attr == "values" else value.indices
        case Skipped():
            return SKIPPED
        case dict() | list() | str():
            kind = type(value) if type(value) in CONTAINERS else dict
            method = CONTAINERS[kind].get(attr)
            if method is not None and (type(value) in CONTAINERS or attr != "update"):
                return Builtin(
                    attr, lambda c, args, kwargs: method(c, value, *_plain(args, kwargs))
                )
    if isinstance(value, (tuple, dict)) and attr in ("append", "extend", "update", "pop", "insert"):
        raise Fail(
            "E_STATE",
            f"{describe(value)} cannot be changed",
            "a reward has no memory: what "
            "it needs of the past is in the state's fields, as s.prev_action",
        )
    known = CONTAINERS.get(type(value), {})
    raise Fail("E_OP", f"{describe(value)} has no {attr[:40]!r}", nearest(attr, known))


def _method_of(value: Any, attr: str) -> Builtin:
    """A method means what it means in torch, but in numpy when it is told an `axis`."""
    in_torch, in_numpy = lookup(attr), lookup(attr, numpy=True)
    return Builtin(
        attr,
        lambda c, args, kwargs: (in_numpy if "axis" in kwargs else in_torch)(
            c, [value, *args], kwargs
        ),
    )


def _plain(args: Sequence[Any], kwargs: dict[str, Any]) -> Sequence[Any]:
    if kwargs or len(args) > 2:
        raise Fail("E_ARG", "too many arguments, or named ones")
    return args


def _append(c: Interpreter, x: Any, item: Any) -> None:
    x.append(item)
    c.room(x)


def _extend(c: Interpreter, x: Any, items: Any) -> None:
    x.extend(c.items(items))
    c.room(x)


def _update(c: Interpreter, x: Any, other: Any) -> None:
    x.update(c.mapping(other))
    c.room(x)


def _get(c: Interpreter, x: Any, key: Any, default: Any = None) -> Any:
    return x.get(c.key(key), default)


CONTAINERS: dict[type, dict[str, Callable[..., Any]]] = {
    list: {"append": _append, "extend": _extend},
    dict: {"items": lambda c, x: list(x.items()), "keys": lambda c, x: list(x),
           "values": lambda c, x: list(x.values()), "get": _get, "update": _update,
           "copy": lambda c, x: dict(x)},
    str: {"startswith": lambda c, x, y: x.startswith(c.word(y)),
          "endswith": lambda c, x, y: x.endswith(c.word(y))},
}  # fmt: skip


# -- form


def shape(x: Tensor) -> tuple[Any, ...]:
    sizes = tuple(x.meta.shape)
    return (COUNT, *sizes[1:]) if x.batched else sizes


def index(c: Interpreter, x: Tensor, key: Any) -> Any:
    """`x[key]` with slices, whole numbers, names, lists of them, None and `...`; never axis 0."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if x.names and _names(keys[0]):
        keys = [slice(None), *keys]
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
        size = result.meta.shape[axis]
        if isinstance(k, slice) and k in (slice(None), slice(0, None), slice(None, None, 1)):
            axis += 1
            continue
        if axis == 0 and x.batched:
            raise Fail(
                "E_BATCH",
                f"axis 0 of {shape_text(x.meta)} is the environments: they cannot be picked out",
                "use torch.where(mask, a, b)"
                if isinstance(k, Tensor)
                else "x[:, 0] is the first column",
            )
        if isinstance(k, Tensor):
            raise Fail(
                "E_STATIC", "an index must be known while compiling", "use torch.where(mask, a, b)"
            )
        k = _column(x, k, result is x or axis == 1)
        if isinstance(k, slice):
            columns = range(*k.indices(size))
            if not columns:
                raise Fail("E_SHAPE", f"the slice of axis {axis} of {shape_text(x.meta)} is empty")
            if columns.step == 1:
                result = c.op("narrow", result, axis, columns.start, len(columns))
            else:
                result = _take(c, result, axis, list(columns))
            axis += 1
        elif isinstance(k, list):
            if not k or not all(isinstance(i, int) and -size <= i < size for i in k):
                raise Fail("E_ARG", f"no such columns of axis {axis} of {shape_text(x.meta)}")
            result, axis = _take(c, result, axis, [i % size for i in k]), axis + 1
        else:
            if not -size <= k < size:
                raise Fail(
                    "E_ARG",
                    f"there is no column {k} of axis {axis} of {shape_text(x.meta)}",
                    f"0 to {size - 1}",
                )
            result = c.op("select", result, axis, k % size)
    return result


def _take(c: Interpreter, x: Tensor, axis: int, columns: list[int]) -> Any:
    return c.op("take", x, axis, c.array(columns))


def _names(key: Any) -> bool:
    return (
        isinstance(key, str)
        or isinstance(key, (list, tuple))
        and bool(key)
        and all(isinstance(k, str) for k in key)
    )


def _column(x: Tensor, key: Any, named: bool) -> Any:
    """An index of one axis: names become numbers."""
    if _names(key):
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


def _sizes(args: Sequence[Any]) -> list[Any]:
    sizes = list(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else list(args)
    if not all(s is COUNT or isinstance(s, int) for s in sizes):
        raise Fail(
            "E_STATIC",
            "a shape is made of whole numbers known while compiling",
            "s.time.shape[0] is the number of environments",
        )
    return sizes


def filled(c: Interpreter, sizes: Sequence[Any], value: Any) -> Any:
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


def _fill(value: float) -> Call:
    return lambda c, args, kwargs: filled(
        c, _sizes(args or [kwargs.get("size", kwargs.get("shape", ()))]), value
    )


def _fill_like(value: float) -> Call:
    def call(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        x = args[0] if args else None
        return filled(c, shape(x), value) if isinstance(x, Tensor) else value

    return call


def _full(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    size, value = (*args, *[kwargs[k] for k in ("size", "fill_value") if k in kwargs])[:2]
    return filled(c, _sizes([size]), value)


def _full_like(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    value = args[1] if len(args) > 1 else kwargs.get("fill_value")
    return filled(c, shape(args[0]), value) if isinstance(args[0], Tensor) else value


def _array(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return c.array(args[0])


def _joined(name: str, default: int) -> Call:
    def call(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else default))
        return c.op(name, axis, *[c.filled(v) for v in c.items(args[0])])

    return call


def _reshape(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    x, sizes = args[0], _sizes(args[1:])
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


def _flatten(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    start = args[1] if len(args) > 1 else kwargs.get("start_dim", 0)
    if start == 1 and isinstance(args[0], Tensor):
        return _reshape(c, [args[0], COUNT, math.prod(args[0].meta.shape[1:])], {})
    raise Fail("E_BATCH", "flatten would mix the environments", "x.flatten(start_dim=1)")


def _expand(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    x, sizes = args[0], _sizes(args[1:])
    if not isinstance(x, Tensor) or sizes[:1] not in ([COUNT], [-1]):
        raise Fail("E_BATCH", "expand keeps the environments first", "x.expand(x.shape[0], 3)")
    old = list(x.meta.shape)
    return c.op("expand", x, [old[i] if s == -1 else s for i, s in enumerate(sizes)][1:])


def _axis(x: Tensor, axis: Any) -> int:
    if not isinstance(axis, int) or not -x.meta.ndim <= axis < x.meta.ndim:
        raise Fail("E_SHAPE", f"{shape_text(x.meta)} has no axis {describe(axis)}")
    return axis % x.meta.ndim


def _squeeze(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
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


def _transpose(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    x, *axes = args
    if not isinstance(x, Tensor) or len(axes) != 2:
        raise Fail("E_ARG", "transpose takes a tensor and two axes", "x.transpose(1, 2)")
    order = list(range(x.meta.ndim))
    a, b = (_axis(x, i) for i in axes)
    order[a], order[b] = order[b], order[a]
    return c.op("permute", x, order)


def _permute(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return c.op("permute", args[0], _sizes(args[1:]))


def _unbind(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    x = args[0]
    dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
    if not isinstance(x, Tensor):
        raise Fail("E_ARG", "unbind takes a tensor and dim", "x.unbind(dim=-1)")
    dim = _axis(x, dim)
    return tuple(c.op("select", x, dim, i) for i in range(x.meta.shape[dim] if dim else 1))


def _size(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return shape(args[0]) if len(args) == 1 else c.subscript(shape(args[0]), args[1])


# -- kinds of number


def cast(c: Interpreter, x: Any, name: str) -> Any:
    if isinstance(x, Tensor):
        return x if x.dtype == name else c.op("cast", x, name)
    if is_number(x):
        try:
            return {"float32": float, "int64": int, "bool": bool}[name](x)
        except (OverflowError, ValueError) as error:
            raise Fail("E_ARG", "this number cannot be made whole") from error
    return c.array(x)


def _cast(name: str) -> Call:
    return lambda c, args, kwargs: cast(c, args[0], name)


def _to(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    for kind in (*args[1:], *kwargs.values()):
        if isinstance(kind, (Dtype, Tensor)):
            return cast(c, args[0], kind.name if isinstance(kind, Dtype) else kind.dtype)
        if isinstance(kind, Builtin) and kind.name in TYPES:  # x.astype(float)
            return cast(c, args[0], TYPES[kind.name])
    return args[0]


def _same(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return args[0]


# -- extremes: of two values, or along an axis


def _extreme(pair: str, along: str, where: str, numpy: bool = False) -> Call:
    def call(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) == 2 and (isinstance(args[1], (Tensor, float)) or is_number(args[0])) and pair:
            return c.op(pair, *args)
        if "other" in kwargs and pair:
            return c.op(pair, args[0], kwargs["other"])
        values = call_op(c, along, args, kwargs)
        dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
        if numpy or not isinstance(dim, int):
            return values
        return Extreme(values, call_op(c, where, args, kwargs) if where else None)

    return call


def _several(pair: str) -> Call:
    """Python's max and min: of numbers or tensors, or of one list of them."""

    def call(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        values = c.items(args[0]) if len(args) == 1 else list(args)
        if not values or kwargs:
            raise Fail("E_ARG", "an extreme of nothing, or with named arguments")
        result = values[0]
        for value in values[1:]:
            result = c.op(pair, result, value)
        return result

    return call


def _total(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Python's sum, over a list of tensors or numbers."""
    result: Any = args[1] if len(args) > 1 else 0
    values = c.items(args[0])
    for i, value in enumerate(values):
        result = (
            value if i == 0 and type(result) is int and result == 0 else c.op("add", result, value)
        )
    return result


# -- what Python does while compiling


def _range(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> list[int]:
    if not all(type(a) is int for a in args) or not 1 <= len(args) <= 3 or args[2:] == [0]:
        raise Fail(
            "E_STATIC",
            "a range is made of whole numbers known while compiling",
            "range(s.joint_pos.shape[1]) goes over the joints",
        )
    if len(range(*args)) > 1000:
        raise Fail("E_LIMIT", "a range of more than 1000")
    return list(range(*args))


def _length(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    (x,) = args
    if isinstance(x, Tensor):
        return shape(x)[0]
    if isinstance(x, (list, tuple, dict, str)):
        return len(x)
    raise Fail("E_TYPE", f"len of {describe(x)}")


def _zip(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return list(zip(*[c.items(a) for a in args], strict=False))


def _enumerate(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    start = args[1] if len(args) > 1 else kwargs.get("start", 0)
    return list(enumerate(c.items(args[0]), start))


def _sorted(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    values = c.items(args[0])
    if kwargs or not (all(map(is_number, values)) or all(isinstance(v, str) for v in values)):
        raise Fail("E_STATIC", "only plain numbers or words are sorted")
    return sorted(values)


def _every(both: bool) -> Call:
    def call(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if isinstance(args[0], Tensor):
            return call_op(c, "all" if both else "any", args, kwargs)
        return (all if both else any)(c.truth(v) for v in c.items(args[0]))

    return call


def _dict(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if not args:
        return dict(kwargs)
    if isinstance(args[0], dict):
        return args[0] | kwargs
    return {c.key(k): v for k, v in map(c.items, c.items(args[0]))} | kwargs


def _round(c: Interpreter, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    x, *digits = args
    if isinstance(x, Tensor):
        return c.op("round", x)
    if not is_number(x) or not math.isfinite(x) or not all(type(d) is int for d in digits):
        raise Fail("E_TYPE", f"round of {describe(x)}")
    if any(abs(d) > 300 for d in digits):  # Python would work with a number of so many digits
        raise Fail("E_ARG", f"round to {digits[0]} digits")
    return round(x, *digits[:1])


def _method(name: str) -> Call:
    return lambda c, args, kwargs: lookup(name)(c, args, kwargs)


def _deviation(name: str) -> Call:
    return lambda c, args, kwargs: call_op(c, name, args, {"ddof": 0} | kwargs)


SPECIAL |= {
    "zeros": _fill(0.0), "ones": _fill(1.0), "full": _full,
    "zeros_like": _fill_like(0.0), "ones_like": _fill_like(1.0), "full_like": _full_like,
    "new_zeros": lambda c, args, kwargs: _fill(0.0)(c, args[1:], kwargs),
    "new_ones": lambda c, args, kwargs: _fill(1.0)(c, args[1:], kwargs),
    "tensor": _array, "as_tensor": _array, "array": _array, "asarray": _array,
    "stack": _joined("stack", 0), "column_stack": _joined("stack", 1),
    **dict.fromkeys(("cat", "concat", "concatenate"), _joined("cat", 0)),
    **dict.fromkeys(("reshape", "view"), _reshape), "flatten": _flatten,
    **dict.fromkeys(("expand", "broadcast_to"), _expand), "squeeze": _squeeze,
    **dict.fromkeys(("transpose", "swapaxes"), _transpose), "permute": _permute,
    "unbind": _unbind, "size": _size, "dim": lambda c, args, kwargs: args[0].meta.ndim,
    **{name: _cast(kind) for name, kind in TYPES.items()},
    **dict.fromkeys(("to", "type", "astype", "type_as"), _to),
    **dict.fromkeys(("clone", "detach", "contiguous", "cpu", "cuda", "copy"), _same),
    "max": _extreme("maximum", "amax", "argmax"), "min": _extreme("minimum", "amin", "argmin"),
    "median": _extreme("", "median", ""),
    "clamp_min": lambda c, args, kwargs: c.op("clamp", args[0], args[1], None),
    "clamp_max": lambda c, args, kwargs: c.op("clamp", args[0], None, args[1]),
}  # fmt: skip
NUMPY |= {
    "max": _extreme("", "amax", "", numpy=True), "min": _extreme("", "amin", "", numpy=True),
    "median": lambda c, args, kwargs: call_op(c, "quantile", [args[0], 0.5, *args[1:]], kwargs),
    "std": _deviation("std"), "var": _deviation("var"),
}  # fmt: skip
PYTHON |= {
    "abs": _method("abs"), "pow": _method("pow"), "round": _round,
    "max": _several("maximum"), "min": _several("minimum"), "sum": _total,
    "any": _every(False), "all": _every(True),
    "float": _cast("float32"), "int": _cast("int64"), "bool": _cast("bool"),
    "len": _length, "range": _range, "zip": _zip, "enumerate": _enumerate, "sorted": _sorted,
    "list": lambda c, args, kwargs: c.items(args[0]) if args else [],
    "tuple": lambda c, args, kwargs: tuple(c.items(args[0])) if args else (),
    "reversed": lambda c, args, kwargs: c.items(args[0])[::-1],
    "dict": _dict,
}  # fmt: skip
