"""Functions that are several operations of the table: constant sequences, and losses of each element."""

from __future__ import annotations

from typing import Any

from reelward.language.builder import Builder
from reelward.language.errors import Fail
from reelward.language.graph import MAX_SIZE
from reelward.language.tensors import Call
from reelward.language.values import COUNT, Args, Kwargs, is_number


def _numbers(values: Args, usage: str) -> list[float]:
    if COUNT in values:
        raise Fail("E_BATCH", "a sequence over the environments tells them apart", "leave it out")
    if not values or not all(is_number(v) for v in values):
        raise Fail("E_STATIC", "a sequence is made of numbers known while compiling", usage)
    return list(values)


def _arange(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    """torch.arange: from `start` by `step` up to, but without, `end`."""
    named = [kwargs[k] for k in ("start", "end", "stop", "step") if k in kwargs]
    values = _numbers([*args, *named], "torch.arange(6)")
    start, end, step = [0, *values, 1] if len(values) == 1 else [*values, 1][:3]
    if step == 0:
        raise Fail("E_ARG", "a sequence by steps of 0", "torch.arange(6)")
    count = (end - start) / step
    if not 0 < count <= MAX_SIZE:
        raise Fail("E_LIMIT", f"a sequence of {count:.0f} numbers", f"1 to {MAX_SIZE} numbers")
    return c.array([start + i * step for i in range(-int(-count // 1))])


def _linspace(c: Builder, args: Args, kwargs: Kwargs) -> Any:
    """torch.linspace: `steps` numbers from `start` to `end`, both included."""
    names = (("start",), ("end", "stop"), ("steps", "num"))
    rest = [kwargs[k] for keys in names[len(args) :] for k in keys if k in kwargs]
    start, end, steps = _numbers([*args, *rest], "torch.linspace(0.0, 1.0, 6)")
    if not isinstance(steps, int) or not 1 < steps <= MAX_SIZE:
        raise Fail("E_LIMIT", f"a sequence of {steps} numbers", f"2 to {MAX_SIZE} numbers")
    return c.array([float(start + (end - start) * i / (steps - 1)) for i in range(steps)])


def _loss(kind: str, scale: str = "") -> Call:
    """A loss of torch.nn.functional. Only reduction="none" is one number an element."""

    def call(c: Builder, args: Args, kwargs: Kwargs) -> Any:
        if kwargs.get("reduction") != "none":
            raise Fail(
                "E_BATCH",
                f"{kind} is by default the mean over all environments",
                'reduction="none" keeps each element; reduce with .mean(dim=-1)',
            )
        x, y = (*args, *(kwargs[k] for k in ("input", "target") if k in kwargs))[:2]
        error = c.op("abs", c.op("sub", x, y))
        if kind == "l1_loss":
            return error
        square = c.op("square", error)
        if kind == "mse_loss":
            return square
        width = kwargs.get(scale, 1.0)
        if not is_number(width) or width <= 0:
            raise Fail("E_ARG", f"{kind}: {scale} is a number above 0", f"{scale}=1.0")
        inside, outside = c.op("mul", 0.5, square), c.op("sub", error, 0.5 * width)
        if kind == "smooth_l1_loss":
            inside = c.op("div", inside, width)
        else:
            outside = c.op("mul", width, outside)
        return c.op("where", c.op("lt", error, width), inside, outside)

    return call


FUNCTIONS: dict[str, Call] = {
    "arange": _arange, "linspace": _linspace, "l1_loss": _loss("l1_loss"),
    "mse_loss": _loss("mse_loss"), "smooth_l1_loss": _loss("smooth_l1_loss", "beta"),
    "huber_loss": _loss("huber_loss", "delta"),
}  # fmt: skip
