"""The typed graph: every node is checked when it is added.

Shapes and dtypes come from running the operation on small made-up tensors: first without environments,
which takes no memory however large the result would be, then with two and three. An axis whose length
follows the number of environments is theirs. That makes the one rule of the language checkable: the
environment axis is first, appears once, and is never reduced, scanned, indexed or moved.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from reelward.language.errors import Fail, nearest
from reelward.language.ops import DTYPES, OPS, Op
from reelward.sim.field import Field

MAX_NODES = 1500
MAX_SIZE = 1024
"""numbers an environment in one node"""
N = 1031
"""stands for the number of environments in shapes: the smallest prime above MAX_SIZE"""
MAX_TOTAL = 16384
"""numbers an environment in all nodes together"""
PICTURE = "uint8"
"""the dtype of pictures, which become float32 as soon as something is computed from them"""
ALL_DTYPES = DTYPES | {PICTURE: torch.uint8}
TORCH_ERRORS = (RuntimeError, TypeError, IndexError, ValueError)
"""what torch raises for arguments that do not fit"""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A node of the graph as a value of the language."""

    node: int
    meta: torch.Tensor = field(repr=False)
    data: torch.Tensor | None = field(default=None, repr=False)
    """the numbers of a constant tensor; None when there is one value an environment"""
    names: tuple[str, ...] = ()
    """names along axis 1"""

    @property
    def batched(self) -> bool:
        return self.data is None

    @property
    def dtype(self) -> str:
        return next(name for name, dtype in ALL_DTYPES.items() if dtype == self.meta.dtype)

    def __deepcopy__(self, memo: object) -> Tensor:
        return self


@dataclass(frozen=True)
class Ref:
    """An argument that is the result of an earlier node."""

    node: int


@dataclass(frozen=True)
class Node:
    """One operation of the table and its arguments."""

    op: str
    args: tuple[Any, ...]
    """each a Ref, or a number, word, None or list of them"""
    line: int
    """of the reward's text, 1 for the first"""


def shape_text(shape: torch.Tensor | Sequence[int]) -> str:
    """The sizes in brackets, the environments as N."""
    sizes = shape.shape if isinstance(shape, torch.Tensor) else shape
    return "[" + ", ".join("N" if size == N else str(size) for size in sizes) + "]"


class Graph:
    def __init__(self, fields: Sequence[Field], native: Sequence[str] = ()) -> None:
        self.fields = {f.name: f for f in fields}
        self.native = tuple(native)
        self.nodes: list[Node] = []
        self.tensors: list[Tensor] = []
        self._known: dict[str, Tensor] = {}
        self._total = 0

    def add(self, name: str, *args: Any, line: int = 0) -> Tensor:
        """The tensor of `name(*args)`; the same tensor each time for the same arguments. Raises Fail."""
        op = OPS[name]
        args = tuple(self._fitted(op, arg, line) for arg in args)
        for i, arg in enumerate(args):
            check_kind(op, i, arg)
        encoded = tuple(Ref(a.node) if isinstance(a, Tensor) else a for a in args)
        key = repr((name, encoded))  # tells 1, 1.0 and True apart
        if key in self._known:
            return self._known[key]
        try:
            tensor = self._typed(op, args)
        except Fail:
            floats = tuple(self._float(arg, line) for arg in args)
            if floats == args:
                raise
            return self.add(name, *floats, line=line)  # torch has it for floats alone
        if tensor.data is not None and name != "const":
            tensor = self.const(tensor.data, line)
        else:
            if tensor.dtype != PICTURE:  # a view of the picture, which takes no memory
                self._total += tensor.meta.numel() // (N if tensor.batched else 1)
            if len(self.nodes) >= MAX_NODES or self._total > MAX_TOTAL:
                raise OverflowError(
                    f"the reward needs more than {MAX_NODES} operations or "
                    f"{MAX_TOTAL} numbers an environment"
                )
            self.nodes.append(Node(name, encoded, line))
            self.tensors.append(tensor)
        self._known[key] = tensor
        return tensor

    def _fitted(self, op: Op, arg: Any, line: int) -> Any:
        if op.lift and isinstance(arg, (bool, int, float)):
            return self.const(torch.tensor(arg), line)
        if not isinstance(arg, Tensor):
            return arg
        part = op.view and op.name != "expand" or op.name == "cast"
        if op.floats and arg.dtype != "float32" or arg.dtype == PICTURE and not part:
            return self.add("cast", arg, "float32", line=line)
        return arg

    def _float(self, arg: Any, line: int) -> Any:
        whole = isinstance(arg, Tensor) and arg.dtype in ("bool", "int64")
        return self.add("cast", arg, "float32", line=line) if whole else arg

    def const(self, data: torch.Tensor, line: int = 0) -> Tensor:
        if data.dtype not in DTYPES.values():
            data = data.to(torch.float32 if data.is_floating_point() else torch.int64)
        if not bool(torch.isfinite(data).all()):
            raise Fail("E_ARG", "a constant is infinite or not a number")
        dtype = next(name for name, dtype in DTYPES.items() if dtype == data.dtype)
        return self.add("const", data.tolist(), dtype, line=line)

    def _typed(self, op: Op, args: tuple[Any, ...]) -> Tensor:
        node = len(self.nodes)
        if op.name == "input":
            if args[0] not in self.fields:
                raise Fail(
                    "E_FIELD", f"this robot has no field {args[0]!r}", nearest(args[0], self.fields)
                )
            f = self.fields[args[0]]
            named = f.names if f.shape and len(f.names) == f.shape[0] else ()
            return Tensor(node, _meta((N, *f.shape), ALL_DTYPES[f.dtype]), names=named)
        if op.name == "native":
            if args[0] not in self.native:
                raise Fail("E_NAME", f"no native term {args[0]!r}", nearest(args[0], self.native))
            return Tensor(node, _meta((N,), torch.float32))
        tensors = [a for a in args if isinstance(a, Tensor)]
        batched = any(t.batched for t in tensors)
        if not tensors and op.name != "const":
            raise Fail("E_TYPE", f"{op.name} needs a tensor")
        pixels = [math.prod(t.meta.shape[1:]) for t in tensors if t.dtype == PICTURE]
        limit = max([MAX_SIZE, *pixels])
        if batched:
            self._keep_environments(op, args)
        elif len(tensors) > 1 and op.params[0] == "x" and op.name not in ("matmul", "take"):
            with contextlib.suppress(RuntimeError):  # the operation says itself what does not fit
                _check_size(op, torch.broadcast_shapes(*(t.meta.shape for t in tensors)), limit)
        try:
            sizes = _sizes(op, args, limit) if batched else []
            out = run_on(op, [_example(a, 2) for a in args])
        except TORCH_ERRORS as error:
            operands = " and ".join(f"{shape_text(t.meta)} {t.dtype}" for t in tensors)
            dim = next((a for i, a in enumerate(args) if op.kind(i) == "dim"), None)
            axis = "" if dim is None else f" along axis {dim}"
            raise Fail(
                "E_SHAPE",
                f"{op.name} does not fit {operands or 'these arguments'}{axis}",
                _shape_hint(tensors, dim),
            ) from error
        if not batched:
            _check_size(op, out.shape, limit)
            return Tensor(node, _meta(out.shape, out.dtype), out)
        if out.dtype not in ALL_DTYPES.values():
            raise Fail("E_TYPE", f"{op.name} gives {out.dtype}, which is not in the language")
        return Tensor(node, _meta(sizes, out.dtype))

    def _keep_environments(self, op: Op, args: tuple[Any, ...]) -> None:
        x = next(a for a in args if isinstance(a, Tensor) and a.batched)
        for i, arg in enumerate(args):
            if op.kind(i) != "dim":
                continue
            dims = range(x.meta.ndim) if arg is None else arg if isinstance(arg, list) else [arg]
            if any(d in (0, -x.meta.ndim) for d in dims):
                hint = "axis 0 is the environments; use dim=-1 (the robot's own axis)"
                if x.meta.ndim == 1:
                    hint = (
                        "put values side by side with torch.stack([a, b], dim=-1)"
                        if op.name == "cat"
                        else f"it is one number an environment already: leave {op.name} out"
                    )
                raise Fail(
                    "E_BATCH",
                    f"{op.name} over axis 0 of {shape_text(x.meta)} would mix the environments",
                    hint,
                )


def run_on(op: Op, args: Sequence[Any]) -> torch.Tensor:
    """`op` on real or meta tensors; lists become tuples as torch wants them."""
    with torch.no_grad():
        return op.run(
            *(tuple(a) if isinstance(a, list) and op.name != "const" else a for a in args)
        )


def _example(arg: Any, n: int) -> Any:
    """A made-up value of an argument, for n environments."""
    if not isinstance(arg, Tensor):
        return arg
    if arg.data is not None:
        return arg.data
    return torch.ones((), dtype=arg.meta.dtype).expand(n, *arg.meta.shape[1:])


def _sizes(op: Op, args: Sequence[Any], limit: int) -> list[int]:
    """The sizes of the result, N for the environments. Raises Fail unless they are axis 0 alone and the
    result is small enough, or what torch raises for arguments that do not fit."""

    def run(n: int) -> torch.Size:
        return run_on(op, [_example(a, n) for a in args]).shape

    sizes: list[int] = []
    with contextlib.suppress(*TORCH_ERRORS):  # a few operations refuse empty tensors
        sizes = [size or N for size in run(0)]
    if sizes:
        _check_result(op, sizes, limit)
    two, three = run(2), run(3)
    sizes = [a if a == b else N for a, b in zip(two, three, strict=True)]
    _check_result(op, sizes, limit)
    return sizes


def _check_result(op: Op, sizes: Sequence[int], limit: int) -> None:
    """Raises Fail unless the environments are axis 0 alone and the result is not too large."""
    if sizes[:1] != [N] or N in sizes[1:]:
        if sizes.count(N) > 1:
            raise Fail(
                "E_BATCH",
                f"{op.name} gives {shape_text(sizes)}: [N] and [N, 1] broadcast to all "
                "pairs of environments",
                "make both [N] with .squeeze(-1) or x[:, 0], or both [N, 1] with x[:, None]",
            )
        raise Fail(
            "E_BATCH",
            f"{op.name} gives {shape_text(sizes)}: the environments must stay axis 0, unreduced",
            "keep [N, ...] first; stack and reduce along dim=-1",
        )
    _check_size(op, sizes, limit)


def _check_size(op: Op, sizes: Sequence[int], limit: int) -> None:
    if math.prod(size for size in sizes if size != N) > limit:
        message = f"{op.name} gives {shape_text(sizes)}: more than {limit} numbers an environment"
        raise Fail("E_LIMIT", message, "reduce first, x.mean(dim=(1, 2)), then compute")


def _meta(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device="meta")


def _shape_hint(tensors: Sequence[Tensor], dim: Any) -> str:
    batched = [t for t in tensors if t.batched]
    if not batched:
        return ""
    if len({t.meta.ndim for t in batched}) > 1:
        return "pick a column (x[:, 0]), reduce (x.sum(dim=-1)) or add an axis (x[:, None])"
    if dim is not None and len(batched) == 1:
        return f"its axes are 0 to {batched[0].meta.ndim - 1}; dim=-1 is the last one"
    if len(batched) > 1:
        return "the sizes after N must be equal or 1: pick the same columns of both"
    return "axis 0 is the environments, the robot's axes follow"


def check_kind(op: Op, i: int, arg: Any) -> None:
    """Raises Fail unless `arg` may stand as argument i of `op`."""
    kind = op.kind(i)
    if i >= len(op.params) and op.params[-1] != "xs":
        raise Fail("E_ARG", f"{op.name} takes {len(op.params)} arguments")
    if isinstance(arg, Tensor):
        good = kind == "x"
    elif op.name in ("const", "input", "native") and (op.name, i) != ("const", 1):
        good = op.name == "const" or isinstance(arg, str)
    elif op.params[i : i + 1] == ("k_dtype",):
        good = isinstance(arg, str) and arg in DTYPES
    elif isinstance(arg, float) and not math.isfinite(arg):
        raise Fail(
            "E_ARG",
            f"{op.name}: a number is infinite or not a number",
            "leave the bound out" if op.name == "clamp" else "use a finite number, as 1e6",
        )
    elif kind == "x":
        good = isinstance(arg, (bool, int, float)) or arg is None and op.name == "clamp" and i > 0
    elif kind == "dim":
        good = arg is None or _is_int(arg) or isinstance(arg, list) and all(map(_is_int, arg))
    elif kind == "flag":
        good = isinstance(arg, bool)
    elif kind == "shape":
        good = (
            isinstance(arg, list)
            and len(arg) < 8
            and all(_is_int(a) and 0 < a <= MAX_SIZE for a in arg)
        )
    else:
        good = (
            isinstance(arg, (bool, int, float)) or isinstance(arg, list) and all(map(_is_int, arg))
        )
    if not good:
        name = op.params[min(i, len(op.params) - 1)].replace("k_", "").replace("flag_", "")
        raise Fail("E_ARG", f"{op.name}: argument {name!r} is of the wrong kind")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
