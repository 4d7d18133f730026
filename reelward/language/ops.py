"""The closed table of operations: a reward can compute these and nothing else.

An argument of an operation is one of six kinds. The first letters of its name in the table name the kind:

    x, y, z   a value: a tensor or a number         dim    an axis that is reduced, scanned or indexed
    xs        one or more values (comes last)       flag   True or False
    shape     sizes, without the environments       k      a number or a word known while compiling
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Op:
    name: str
    params: tuple[str, ...]
    run: Callable[..., Any]
    lift: bool = False
    """torch takes tensors only, so numbers become tensors first"""
    floats: bool = False
    """truth values and integers become float32 first"""
    view: bool = False
    """the result may share memory with the argument"""

    def kind(self, i: int) -> str:
        name = self.params[min(i, len(self.params) - 1)].partition("_")[0]
        return "x" if name in ("x", "y", "z", "xs") else name


DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
OPS: dict[str, Op] = {}
SPELLINGS: dict[str, str] = {}
"""every accepted name -> the operation it means"""
DEFAULTS: dict[str, dict[str, object]] = {}
"""operation -> the arguments that may be left out"""


def _op(name: str, params: str, run: Callable[..., Any], also: str = "", **flags: Any) -> None:
    names: list[str] = []
    defaults: dict[str, object] = {}
    for word in params.split():
        key, _, value = word.partition("=")
        names.append(key)
        if value:
            defaults[key] = (
                {"none": None, "false": False, "true": True}.get(value)
                if value in ("none", "false", "true")
                else int(value)
            )
    OPS[name] = Op(name, tuple(names), run, **flags)
    DEFAULTS[name] = defaults
    for spelling in [name, *also.split()]:
        SPELLINGS[spelling] = name


# one value to one value
_op("abs", "x", torch.abs, "absolute fabs")
_op("neg", "x", torch.neg, "negative", floats=True)
_op("exp", "x", torch.exp)
_op("expm1", "x", torch.expm1)
_op("log", "x", torch.log)
_op("log1p", "x", torch.log1p)
_op("log2", "x", torch.log2)
_op("log10", "x", torch.log10)
_op("sqrt", "x", torch.sqrt)
_op("rsqrt", "x", torch.rsqrt)
_op("square", "x", torch.square)
_op("reciprocal", "x", torch.reciprocal)
_op("sin", "x", torch.sin)
_op("cos", "x", torch.cos)
_op("tan", "x", torch.tan)
_op("asin", "x", torch.asin, "arcsin")
_op("acos", "x", torch.acos, "arccos")
_op("atan", "x", torch.atan, "arctan")
_op("sinh", "x", torch.sinh)
_op("cosh", "x", torch.cosh)
_op("tanh", "x", torch.tanh)
_op("sigmoid", "x", torch.sigmoid, "expit")
_op("erf", "x", torch.erf)
_op("relu", "x", torch.relu)
_op("softplus", "x", F.softplus)
_op("sign", "x", torch.sign, "sgn")
_op("floor", "x", torch.floor)
_op("ceil", "x", torch.ceil)
_op("round", "x", torch.round, "rint")
_op("trunc", "x", torch.trunc, "fix")
_op("deg2rad", "x", torch.deg2rad, "radians")
_op("rad2deg", "x", torch.rad2deg, "degrees")
_op("isnan", "x", torch.isnan)
_op("isfinite", "x", torch.isfinite)
_op("not", "x", torch.logical_not, "logical_not bitwise_not invert")
_op("nan_to_num", "x k_nan=0", lambda x, nan: torch.nan_to_num(x, nan, nan, nan))
_op("cast", "x k_dtype", lambda x, k: x.to(DTYPES[k]))
_op("clone", "x", torch.clone)

# two or three values, broadcast against each other
_op("add", "x y", operator.add)
_op("sub", "x y", operator.sub, "subtract", floats=True)
_op("mul", "x y", operator.mul, "multiply")
_op("div", "x y", operator.truediv, "divide true_divide")
# Division and powers of whole numbers have no value for some of them, and torch raises there.
_op("floordiv", "x y", operator.floordiv, "floor_divide", floats=True)
_op("mod", "x y", operator.mod, "remainder", floats=True)
_op("fmod", "x y", torch.fmod, lift=True, floats=True)
_op("pow", "x y", operator.pow, "power float_power", floats=True)
_op("minimum", "x y", torch.minimum, "fmin", lift=True)
_op("maximum", "x y", torch.maximum, "fmax", lift=True)
_op("atan2", "x y", torch.atan2, "arctan2", lift=True)
_op("hypot", "x y", torch.hypot, lift=True, floats=True)
_op("copysign", "x y", torch.copysign, lift=True)
_op("logaddexp", "x y", torch.logaddexp, lift=True)
_op("lt", "x y", operator.lt, "less")
_op("le", "x y", operator.le, "less_equal")
_op("gt", "x y", operator.gt, "greater")
_op("ge", "x y", operator.ge, "greater_equal")
_op("eq", "x y", operator.eq)
_op("ne", "x y", operator.ne, "not_equal")
_op("and", "x y", torch.logical_and, "logical_and bitwise_and", lift=True)
_op("or", "x y", torch.logical_or, "logical_or bitwise_or", lift=True)
_op("xor", "x y", torch.logical_xor, "logical_xor bitwise_xor", lift=True)
_op("where", "x y z", torch.where)
_op("lerp", "x y z", torch.lerp, lift=True)
_op("clamp", "x y=none z=none", torch.clamp, "clip")

# along the robot's own axes
_op("sum", "x dim=none flag_keep=false", torch.sum)
_op("mean", "x dim=none flag_keep=false", torch.mean, "average", floats=True)
_op("prod", "x dim flag_keep=false", torch.prod)
_op("amax", "x dim=none flag_keep=false", torch.amax)
_op("amin", "x dim=none flag_keep=false", torch.amin)
_op(
    "std",
    "x dim=none k_correction=1 flag_keep=false",
    lambda x, d, c, k: torch.std(x, d, correction=c, keepdim=k),
    floats=True,
)
_op(
    "var",
    "x dim=none k_correction=1 flag_keep=false",
    lambda x, d, c, k: torch.var(x, d, correction=c, keepdim=k),
    floats=True,
)
_op(
    "norm", "x k_p=2 dim=none flag_keep=false", torch.linalg.vector_norm, "vector_norm", floats=True
)
_op("logsumexp", "x dim=none flag_keep=false", torch.logsumexp, floats=True)
_op("any", "x dim=none flag_keep=false", torch.any)
_op("all", "x dim=none flag_keep=false", torch.all)
_op("argmax", "x dim flag_keep=false", torch.argmax)
_op("argmin", "x dim flag_keep=false", torch.argmin)
_op("median", "x dim flag_keep=false", lambda x, d, k: torch.median(x, d, k)[0])
_op(
    "quantile",
    "x k_q dim flag_keep=false",
    lambda x, q, d, k: torch.quantile(x, q, d, keepdim=k),
    floats=True,
)
_op("count_nonzero", "x dim=none", torch.count_nonzero)
_op("cumsum", "x dim", torch.cumsum)
_op("softmax", "x dim", torch.softmax, floats=True)
_op("normalize", "x k_p=2 dim=-1", F.normalize, floats=True)
_op("diff", "x k_n=1 dim=-1", torch.diff)
_op("flip", "x dim", lambda x, d: torch.flip(x, d if isinstance(d, tuple) else (d,)))
_op("cosine_similarity", "x y dim=-1", torch.cosine_similarity)
_op("cross", "x y dim=-1", lambda x, y, d: torch.linalg.cross(x, y, dim=d))
_op("vecdot", "x y dim=-1", lambda x, y, d: torch.linalg.vecdot(x, y, dim=d))
_op("matmul", "x y", torch.matmul, "bmm mm mv", floats=True)  # CUDA multiplies no integers

# form
_op("cat", "dim xs", lambda d, *xs: torch.cat(xs, d))
_op("stack", "k_axis xs", lambda d, *xs: torch.stack(xs, d))
_op("select", "x dim k_i", torch.select, view=True)
_op("narrow", "x dim k_start k_length", torch.narrow, view=True)
_op("take", "x dim y", torch.index_select)
_op("unsqueeze", "x k_axis", torch.unsqueeze, "expand_dims", view=True)
_op("permute", "x k_axes", torch.permute, view=True)
_op("reshape", "x shape", lambda x, shape: x.reshape(x.shape[0], *shape), view=True)
_op("expand", "x shape", lambda x, shape: x.expand(x.shape[0], *shape), view=True)
_op("fill", "x shape k_value", lambda x, s, v: x.new_full((x.shape[0], *s), v))

# where values come from; `program.trace` gives them their values
_op("input", "k_name", lambda name: None, view=True)
_op("const", "k_data k_dtype", lambda data, dtype: torch.tensor(data, dtype=DTYPES[dtype]))
_op("native", "k_name", lambda name: None, view=True)

for _name in ("cast", "clone", "take", "fill", "input", "const", "native"):
    del SPELLINGS[_name]  # reached through other spellings only
