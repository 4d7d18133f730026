"""Names that people write for operations: torch's, numpy's, math's, Python's, and methods of tensors.

Most names are one operation of the table in `ops` (`SPELLINGS`). Those listed here mean different things
for different arguments, take them in another order, or are evaluated while compiling.
"""

from __future__ import annotations

import math
from typing import Any

import reelward.language.composed as composed
import reelward.language.tensors as tensors
from reelward.language.builder import Builder
from reelward.language.containers import FUNCTIONS, METHODS, element, method
from reelward.language.errors import Fail, nearest
from reelward.language.graph import Tensor
from reelward.language.ops import DEFAULTS, OPS, SPELLINGS
from reelward.language.tensors import Call
from reelward.language.values import (
    SKIPPED,
    Args,
    Builtin,
    Dtype,
    Extreme,
    Kwargs,
    Module,
    Skipped,
    describe,
    is_number,
)

MODULES = {
    **{name: name for name in ("torch", "numpy", "math", "typing", "__future__", "reelward")},
    "jax": "numpy",
}
"""module that may be imported -> whose spelling it has"""
NAMESPACES = ("linalg", "nn", "functional", "special", "numpy")
AXES = ("x", "y", "z")
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


def call_op(c: Builder, name: str, args: Args, kwargs: Kwargs) -> Any:
    """Binds the arguments as torch and numpy name them, and adds the operation."""
    op, defaults = OPS[name], DEFAULTS[name]
    kwargs = {k: v for k, v in kwargs.items() if k not in WITHOUT_EFFECT}
    dtype = kwargs.pop("dtype", None)
    known = {p.partition("_")[2] or p: p for p in op.params}
    bound = dict(zip(op.params, args, strict=False))
    usage = f"{name}({', '.join(known)})".replace("keep)", "keepdim)")
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
    if name == "clamp":
        values = [None if _is_infinite(v) else v for v in values]
        if values[1:] == [None, None]:
            return values[0]
    result = c.op(name, *values)
    return cast(c, result, dtype.name) if isinstance(dtype, Dtype) else result


def _argument(c: Builder, kind: str, value: Any, x: Any) -> Any:
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
    **dict.fromkeys(
        ("gather", "scatter", "take_along_dim"), "pick columns by number: x[:, [0, 2]]"
    ),
    **dict.fromkeys(
        ("repeat", "tile", "repeat_interleave"), "axes of size 1 broadcast: x[:, None]"
    ),
    **dict.fromkeys(("heaviside", "step"), "(x > 0).float()"),
    **dict.fromkeys(("elu", "leaky_relu", "gelu", "silu", "selu"), "use relu, softplus or tanh"),
    **dict.fromkeys(("hstack", "vstack", "dstack"), "torch.stack([a, b], dim=-1)"),
    **dict.fromkeys(("empty", "empty_like"), "torch.zeros_like(x)"),
    **dict.fromkeys(("isclose", "allclose"), "(x - y).abs() < 1e-3"),
    **dict.fromkeys(
        ("masked_fill", "masked_fill_", "index_fill", "where_"), "torch.where(mask, new, x)"
    ),
    **dict.fromkeys(("nan", "NaN", "NAN", "isinf"), "every term is finite: torch.nan_to_num(x)"),
    "getattr": 's["name"] reads a field',
    "hasattr": '"name" in s',
    **dict.fromkeys(("isinstance", "type", "str", "repr", "logging"), "leave it out"),
    **dict.fromkeys(("set", "frozenset"), "use a list"),
    "scipy": "kernel(error, width) of the library is a bell, tolerance(...) a range",
    "index_select": "x[:, [0, 1]]",
    "ptp": "x.amax(dim=-1) - x.amin(dim=-1)",
    "expand_as": "sizes of 1 broadcast: leave it out",
    "lax": "torch.where(condition, a, b)",
    "exp2": "2.0 ** x",
    "cumprod": "multiply the columns one by one",
    "interp": "torch.clamp((x - low) / (high - low), 0.0, 1.0)",
    "percentile": "np.quantile(x, 0.5, axis=-1)",
    "outer": "x[:, :, None] * y[:, None, :]",
    "log_softmax": "torch.log(torch.softmax(x, dim=-1))",
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


def attribute(c: Builder, value: Any, attr: str) -> Any:
    match value:
        case Tensor():
            if attr in ("shape", "ndim", "dtype", "device", "names", "data"):
                return {"shape": tensors.shape(value), "ndim": value.meta.ndim, "data": value,
                        "dtype": Dtype(value.dtype), "device": SKIPPED,
                        "names": value.names}[attr]  # fmt: skip
            if attr in value.names or attr in AXES and value.meta.ndim > 1:
                column = f'x["{attr}"]' if attr in value.names else f"x[:, {AXES.index(attr)}]"
                raise Fail(
                    "E_OP", f"a tensor has no attribute {attr!r}", f"read the column: {column}"
                )
            if attr in c.graph.fields:
                raise Fail("E_ARG", f"{describe(value)} where the state is needed", "give s itself")
            return _method_of(value, attr)
        case bool() | int() | float():
            return _method_of(value, attr)
        case Extreme() if attr in ("values", "indices"):
            return value.values if attr == "values" else value.indices
        case Skipped():
            return SKIPPED
        case dict() | list() | str():
            if (call := method(value, attr)) is not None:
                return Builtin(attr, call)
    if isinstance(value, (tuple, dict)) and attr in ("append", "extend", "update", "pop", "insert"):
        raise Fail(
            "E_STATE",
            f"{describe(value)} cannot be changed",
            "a reward has no memory: what "
            "it needs of the past is in the state's fields, as s.prev_action",
        )
    if isinstance(value, dict) and attr in value:
        raise Fail("E_OP", f"a dict has no attribute {attr[:40]!r}", f'read it by key: ["{attr}"]')
    known = METHODS.get(type(value), {})
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


# -- kinds of number


def cast(c: Builder, x: Any, name: str) -> Any:
    if isinstance(x, str) and name == "float32":
        try:
            return infinite(float(x))
        except ValueError as error:
            raise Fail(
                "E_ARG", f"{describe(x)} is not a number", "write the number itself"
            ) from error
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


def _to(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    for kind in (*args[1:], *kwargs.values()):
        if isinstance(kind, (Dtype, Tensor)):
            return cast(c, args[0], kind.name if isinstance(kind, Dtype) else kind.dtype)
        if isinstance(kind, Builtin) and kind.name in TYPES:  # x.astype(float)
            return cast(c, args[0], TYPES[kind.name])
    return args[0]


def infinite(value: float) -> float:
    """A number that may be infinite, as a bound. Raises Fail for one that is none."""
    if math.isnan(value):
        raise Fail("E_ARG", "not a number (NaN)", ADVICE["nan"])
    return value


def star() -> Kwargs:
    """What `from math import *` brings: the names that the language knows."""
    names = [name for name in dir(math) if name in (*SPELLINGS, *NUMBERS)]
    return {name: module_attribute(Module("math"), name) for name in names}


def _same(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    return args[0]


# -- extremes: of two values, or along an axis


def _extreme(pair: str, along: str, where: str, numpy: bool = False) -> Call:
    def call(c: Builder, args: Args, kwargs: Kwargs) -> Any:
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


def _every(both: bool) -> Call:
    def call(c: Builder, args: Args, kwargs: Kwargs) -> Any:
        if isinstance(args[0], Tensor):
            return call_op(c, "all" if both else "any", args, kwargs)
        values = c.items(args[0])
        if not any(isinstance(v, Tensor) for v in values):
            return (all if both else any)(c.truth(v) for v in values)
        result: Any = both
        for value in values:
            result = c.op("and" if both else "or", result, c.mask(value))
        return result

    return call


def _size(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    sizes = tensors.shape(args[0])
    return sizes if len(args) == 1 else element(sizes, args[1])


def _array(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    return c.array(args[0])


def _by_name(name: str) -> Call:
    return lambda c, args, kwargs: lookup(name)(c, args, kwargs)


def _deviation(name: str) -> Call:
    return lambda c, args, kwargs: call_op(c, name, args, {"ddof": 0} | kwargs)


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)


SPECIAL |= composed.FUNCTIONS | {
    "zeros": tensors.fill(0.0), "ones": tensors.fill(1.0), "full": tensors.full,
    "zeros_like": tensors.fill_like(0.0), "ones_like": tensors.fill_like(1.0), "full_like": tensors.full_like,
    "new_zeros": lambda c, args, kwargs: tensors.fill(0.0)(c, args[1:], kwargs),
    "new_ones": lambda c, args, kwargs: tensors.fill(1.0)(c, args[1:], kwargs),
    "new_tensor": lambda c, args, kwargs: c.array(args[1]),
    "tensor": _array, "as_tensor": _array, "array": _array, "asarray": _array,
    "stack": tensors.joined("stack", 0), "column_stack": tensors.joined("stack", 1),
    **dict.fromkeys(("cat", "concat", "concatenate"), tensors.joined("cat", 0)),
    **dict.fromkeys(("reshape", "view"), tensors.reshape), "flatten": tensors.flatten,
    **dict.fromkeys(("expand", "broadcast_to"), tensors.expand), "squeeze": tensors.squeeze,
    **dict.fromkeys(("transpose", "swapaxes"), tensors.transpose), "permute": tensors.permute,
    "unbind": tensors.unbind, "size": _size, "dim": lambda c, args, kwargs: args[0].meta.ndim,
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
    "abs": _by_name("abs"), "pow": _by_name("pow"), "any": _every(False), "all": _every(True),
    "float": _cast("float32"), "int": _cast("int64"), "bool": _cast("bool"), **FUNCTIONS,
}  # fmt: skip
