"""What hostile or odd texts cost, and what of them reaches a terminal: time, memory, characters."""

from __future__ import annotations

import itertools
import random
import resource
import time
from pathlib import Path

import pytest
import torch
from language_fields import X, refusal

from reelward.checking import cli_check
from reelward.language import RewardError, compile_reward, native_terms
from reelward.language.errors import Fail, printable
from reelward.language.graph import Graph, Ref, run_on
from reelward.language.native import NativeError
from reelward.language.ops import DEFAULTS, OPS
from reelward.sim.robot import load_robot
from reelward.studies.changes import changed_constants, text_difference

FIELDS = load_robot("biped").fields
KINDS = {
    "dim": (-1, 1, 5, None, [1]), "flag": (True, False), "shape": ([3], [1, 3], [7]),
    "k": (2, 0, -1, 0.5, 99, 1e30, [0, 1], "float32"),
}  # fmt: skip
ODD = (2, 0, -3, True, 0.5, -1e30)


def tensors(graph: Graph):
    """Of each dtype: an environment's number and three of them, and constants."""
    floats = [graph.add("input", name) for name in ("x", "v")]
    constants = [graph.const(torch.tensor(c)) for c in ([1, 0, -2], [0, 1], [0.5], True)]
    cast = [graph.add("cast", x, dtype) for x in floats for dtype in ("int64", "bool")]
    return [*floats, *cast, *constants]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("name", sorted(set(OPS) - {"input", "const", "native"}))
def test_whatever_compiles_also_runs(name):
    """Every operation on every dtype with odd arguments: accepted ones raise on no state."""
    op, accepted = OPS[name], 0
    graph = Graph(X)
    values = tensors(graph)
    choices = [
        [*values, *(ODD if i else ())] if op.kind(i) == "x" else KINDS[op.kind(i)]
        for i in range(len(op.params))
    ]
    choose = random.Random(name).choice
    for _ in range(300):
        graph._total = 0  # so that the sizes of all do not add up
        try:
            graph.add(name, *map(choose, choices))
            accepted += 1
        except Fail:
            continue
    assert accepted
    for n, number in itertools.product((1, 4), (0.0, -2.5, 1e30, torch.nan)):
        state = {f.name: torch.full((n, *f.shape), number) for f in X}
        results: list[torch.Tensor] = []
        for node in graph.nodes:
            args = [results[a.node] if isinstance(a, Ref) else a for a in node.args]
            results.append(state[args[0]] if node.op == "input" else run_on(OPS[node.op], args))
        for result, tensor in zip(results, graph.tensors, strict=True):
            if tensor.batched:
                assert (
                    result.shape == (n, *tensor.meta.shape[1:])
                    and result.dtype == tensor.meta.dtype
                )


def test_defaults_name_arguments():
    assert all(set(DEFAULTS[name]) <= set(op.params) for name, op in OPS.items())


BIG = "    big = s.time[:, None].expand(s.time.shape[0], 1024)\n    t = 0.0\n    for i in range(400):\n"
SLOW = {
    "quantiles": BIG + "        t = t + torch.quantile(big, 0.001 * i, dim=1)\n",
    "norms": BIG + "        t = t + torch.norm(big, p=i + 0.5, dim=1)\n",
    "deviations": BIG + "        t = t + big.std(dim=1, correction=i + 1)\n",
    "names": "    for i in range(999):\n        for j in range(99):\n            torch.fooabsolu\n",
    "fields": "".join(f"    x{k} = s.{'foo' * 15}{k}\n" for k in range(180)),
    "errors_in_calls": "    f = lambda x: x.clampooooooooooooo\n" + "    f(s.time)\n" * 700,
    "foreign": "    x = s" + ".data['a']" * 70 + "\n" + "    x = s.data.data.data.qpos\n" * 300,
    "constants": "    for i in range(999):\n        torch.pow(C[:, None], C[None, :])\n",
}


@pytest.mark.parametrize("name", SLOW)
def test_eleven_kilobytes_compile_within_a_second(name):
    text = f"C = torch.ones(1024)\ndef reward(s):\n{SLOW[name]}    return {{'a': s.time}}\n"
    start = time.process_time()
    try:
        compile_reward(text, FIELDS)
    except RewardError:
        pass
    assert len(text) < 12_000 and time.process_time() - start < 1.0


def test_constants_are_measured_before_they_are_made():
    """Three constants that broadcast to 2^30 numbers, 4 GiB."""
    text = "A = torch.ones(1024)\nX = torch.{}(A[:, None, None]{}, A[:, None], A)\ndef reward(s):\n    return {{}}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, test in (("where", " > 0"), ("lerp", ""), ("clamp", "")):
        with pytest.raises(RewardError, match=r"E_LIMIT line 2.*more than 1024 numbers"):
            compile_reward(text.format(name, test), X)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.parametrize("number", [
    "1e999", "-1e999", "math.inf", "-math.inf", "float('inf')", "float('nan')", "1e308 * 10", "1e39",
    "(1.0, [2.0, {'a': -math.inf}])", "np.inf", "math.nan",
])  # fmt: skip
def test_a_constant_is_finite(number):
    text = f"import math\nBEST = {number}\ndef reward(s):\n    return {{'a': s.x}}"
    (code, line), *rest = refusal(text)
    assert code in ("E_ARG", "E_OP") and line == 2 and not rest


def test_infinite_bounds_of_a_clamp_are_open():
    text = "def reward(s):\n    return {'a': s.x.clamp(0.0, math.inf), 'b': np.clip(s.x, -np.inf, np.inf)}"
    state = {"x": torch.tensor([-1.0, 2.0])}
    out = compile_reward(text, X)(state)
    assert out["a"].tolist() == [0, 2] and out["b"].tolist() == [-1, 2]


GOOD = 'def reward(s):\n    return {"a": s.x}  # '


@pytest.mark.parametrize("char", [
    "\x1b[2J", "\0", "\x7f", "\x07", "\x08", "\x9b", "\u202e", "\u2066", "\u200f", "\u2028", "\r",
    "\x0c", "\ud800", "`" * 3,
])  # fmt: skip
def test_characters_that_a_terminal_obeys_are_refused_by_name(char):
    with pytest.raises(RewardError) as caught:
        compile_reward(f"{GOOD}{char} x", X)
    (error,) = caught.value.errors
    assert (error.code, error.line) == ("E_SYNTAX", 2) and error.hint and str(error).isprintable()


@pytest.mark.parametrize("text", [
    GOOD + "größer ≥ 1 → 走 👩‍🔬", "\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), f"```python\n{GOOD}\n```\n",
    f"\n```\n{GOOD}\n```",
])  # fmt: skip
def test_what_editors_and_models_add_is_skipped(text):
    assert compile_reward(text, X).terms == ("a",)


def test_nothing_raw_is_printed(tmp_path: Path, capsys):
    """Not of the text, and not of its words, whose escapes are no control characters yet."""
    file = tmp_path / "c0.py"
    file.write_text('D = {"\\x1b[2J\\n": 1}\ndef reward(s):\n    return {"a": D["\\x1b[2J"]}\n')
    assert cli_check(file, "biped") == 1
    printed = capsys.readouterr().out
    assert "\\x1b[2J" in printed and printed.replace("\n", "").isprintable()
    assert len(printed.splitlines()) == 2
    lines = text_difference("a\n", "b \x1b[31m\u202e\n", "one", "two")
    assert lines[-1] == "+b \\x1b[31m\\u202e"
    constants = changed_constants({"A": {"\x1b": 1.0}}, {"A": {"\x1b": "\x1b"}})
    assert constants == {"A \\x1b": (1.0, "\\x1b")}
    assert printable("\ud800\t", keep="\t") == "\\ud800\t"


def test_names_of_native_terms_are_suggested():
    text = 'def reward(s):\n    return {"a": 0.5 * styel(s)}'
    with pytest.raises(RewardError, match="did you mean style"):
        compile_reward(text, X, native={"style": lambda state: state["x"]})
    with pytest.raises(NativeError, match="has no attribute 'factoral'; did you mean factorial"):
        native_terms({"mine": {"function": "math:factoral"}})


def test_a_clock_without_a_period_is_a_mistake_with_its_line():
    for text in ("clock(s, 0.6)", "torch.sin(s.phase)"):
        source = f"def reward(s):\n    return {{'a': 1.0,\n            'b': {text}}}"
        with pytest.raises(RewardError, match=r"line 3.*PERIOD = 1\.2"):
            compile_reward(source, FIELDS)
        assert compile_reward("PERIOD = 1\n" + source, FIELDS).period == 1
