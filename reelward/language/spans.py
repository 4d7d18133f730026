"""Which lines of a reward's text make each of its terms."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from reelward.language.compiler import library
from reelward.language.errors import Fail, RewardError
from reelward.language.graph import Graph
from reelward.language.main import arguments, named_values, reward_function
from reelward.language.source import parse
from reelward.language.statements import Interpreter
from reelward.language.values import Scope
from reelward.sim.field import Field


def term_spans(text: str, fields: Sequence[Field]) -> dict[str, tuple[int, ...]]:
    """The lines (1 for the first) that put a value under the name of each term, for each term.

    Such a line is an entry of a dict, an assignment to an element, or a comprehension, in `reward` or in
    a function that it calls; or at module level, where there is none in those. `fields` are the robot's,
    since names of terms may be made of its names. Mistakes of the text are left aside: terms are given
    as far as their names are known, and none for a text that is no reward.
    """
    c, module = Interpreter(Graph(fields), library(), []), Scope(shared=True)
    try:
        tree = parse(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about the made-up tensors of the graph
            c.block(tree.body, module)
            outside, c.entries = c.entries, {}
            function = reward_function(c, module, tree)
            result = c.inline(function, arguments(c, function), {}, function.node)
            terms = named_values(result, function, refused=False)[0]
    except (Fail, RewardError, OverflowError, RecursionError, MemoryError):
        return {}
    entries = outside | c.entries
    return {
        name: tuple(sorted({n for a, b in entries.get(name, ()) for n in range(a, b + 1)}))
        for name in terms
        if isinstance(name, str)
    }
