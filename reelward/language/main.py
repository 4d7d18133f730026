"""Which function of a text is the reward, what its arguments are, and what of its result are the terms.

The form is `def reward(s)` with a dict of terms. Eureka's form is read too: `compute_reward` with
fields as arguments, and a pair of total and terms.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from reelward.language.errors import Fail
from reelward.language.foreign import FOREIGN, advice
from reelward.language.statements import Interpreter
from reelward.language.values import POISON, STATE, Function, Scope, describe

MAX_TERMS = 32
NAMES = ("reward", "compute_reward")
TOTALS = ("total", "total_reward", "reward", "rewards", "sum", "overall")
"""names that a term has alone only: beside others it is their sum, which would count twice"""
FORM = 'return {"speed": ..., "upright": ...}; the total is the sum of the terms'
DICT_ALONE = (
    "return the dict alone: the total is the sum of its terms, so multiply each by its weight there"
)


def reward_function(c: Interpreter, module: Scope, tree: ast.Module) -> Function:
    """The function `reward` of an interpreted text, or `compute_reward`. Where there is none, that is
    reported, and the function that is most likely meant is returned, so that its mistakes are found too.
    Raises Fail where no function is like it."""
    for name in NAMES:
        if isinstance(module.names.get(name), Function):
            return module.names[name]
    if any(module.names.get(name) is POISON for name in NAMES) and c.errors:
        raise Fail("E_REWARD", "there is no sound `def reward(s)`", "correct the other mistakes")
    defined = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    names = [n.name for n in defined]
    others = f", only {', '.join(names[:5])}" if names else ""
    fail = Fail(
        "E_REWARD",
        f"there is no `def reward(s)`{others}",
        "name the main function so: def reward(s):",
    )
    likely = [n for n in defined if "reward" in n.name] or defined[-1:]
    if not likely:
        raise fail
    c.report(fail, likely[-1])
    return c.function(likely[-1], likely[-1].name, module)


def arguments(c: Interpreter, function: Function) -> list[Any]:
    """The state, or the fields that the arguments name. Raises Fail."""
    a = function.node.args
    names = [p.arg for p in (*a.posonlyargs, *a.args)]
    names = names[: len(names) - len(a.defaults)]
    if names[:1] == ["self"] and len(names) > 1:
        del names[0]
        return [STATE, *_bound(c, names, function)]
    return _bound(c, names, function)


def _bound(c: Interpreter, names: list[str], function: Function) -> list[Any]:
    fields = c.graph.fields
    unknown = [name for name in names if name not in fields]
    if not names:
        raise Fail("E_REWARD", "reward takes one argument, the state", "def reward(s):")
    if len(unknown) == len(names) == 1 and names[0] not in FOREIGN:
        return [STATE]
    if len(unknown) == 1 and unknown[0] == names[0] and len(names[0]) < 6:
        unknown = []  # the state, as `s`, then fields
    if unknown:
        hints = [f"{name}: {advice(name, ()) or 'a field of s'}" for name in unknown[:8]]
        message = (
            f"the robot has no field for the arguments {', '.join(unknown[:8])} of {function.name}"
        )
        c.report(Fail("E_REWARD", message, f"def reward(s): {'; '.join(hints)}"), function.node)
    return [
        c.field(name) if name in fields else POISON if name in unknown else STATE for name in names
    ]


def named_values(result: Any, function: Function, refused: bool) -> tuple[dict[Any, Any], Any]:
    """The terms of what `function` returned and the total beside them, None where it has none; nothing
    where the reason is reported. Raises Fail."""
    total = None
    if result is POISON:
        _check_form(function.node)
        return {}, None
    if isinstance(result, (tuple, list)) and any(isinstance(r, dict) for r in result):
        rest = [r for r in result if not isinstance(r, dict)]
        if refused or len(result) != 2 or len(rest) != 1:
            raise Fail("E_REWARD", "reward returns more than its terms", DICT_ALONE)
        (total,) = rest
        result = next(r for r in result if isinstance(r, dict))
    if result is None and refused:
        return {}, None
    if not isinstance(result, dict) or not result:
        what = "nothing" if result is None else describe(result)
        raise Fail("E_REWARD", f"reward returns {what}, not a dict of named terms", FORM)
    if len(result) > MAX_TERMS:
        raise Fail(
            "E_REWARD", f"{len(result)} terms: at most {MAX_TERMS}", "add some up into one term"
        )
    return result, total


def _check_form(node: ast.AST) -> None:
    """Raises Fail where the text shows that the function, whose value is not known, returns no dict."""
    dicts = {
        target.id
        for n in ast.walk(node)
        if isinstance(n, (ast.Assign, ast.AnnAssign))
        for target in (n.targets if isinstance(n, ast.Assign) else [n.target])
        if isinstance(target, ast.Name)
        and isinstance(n.value, (ast.Dict, ast.DictComp, ast.Call, ast.Subscript, ast.BoolOp))
    }
    for n in ast.walk(node):
        if not isinstance(n, ast.Return):
            continue
        if isinstance(n.value, ast.Tuple):
            raise Fail("E_REWARD", "reward returns more than its terms", DICT_ALONE)
        plain = isinstance(n.value, ast.Name) and n.value.id not in dicts
        if isinstance(n.value, ast.Call) and isinstance(n.value.func, ast.Attribute):
            plain = n.value.func.attr not in ("copy", "get")
        if plain or isinstance(n.value, (ast.BinOp, ast.UnaryOp)):
            raise Fail("E_REWARD", "reward returns one value, not a dict of named terms", FORM)


def check_name(name: Any, among: dict[Any, Any]) -> None:
    """Raises Fail for what cannot name a term."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name):
        raise Fail("E_REWARD", f"{str(name)[:40]!r} is not a term's name", "letters, digits and _")
    if name.lower() in TOTALS and len(among) > 1:
        message = f"the term {name!r} beside others would count them twice"
        hint = "leave it out: the total is the sum of the terms; a term of its own has another name"
        raise Fail("E_REWARD", message, hint)
