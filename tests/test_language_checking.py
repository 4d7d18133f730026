"""What is tried after compiling: the contract, the watch in training, `reelward check`, the page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from language_fields import STATE, X, refusal

from reelward import checking
from reelward.authors.reference import filled
from reelward.checking import (
    checked,
    checked_all,
    cli_check,
    cli_fields,
    recorded_states,
    robot_card,
    tried,
)
from reelward.language.compiler import compile_reward
from reelward.language.contract import BOUND, check_contract
from reelward.language.errors import RewardError
from reelward.language.watch import Watch
from reelward.sim.robot import load_robot

FIELDS = load_robot("biped").fields


@pytest.mark.parametrize(("term", "says"), [
    ("torch.log(s.root_pos[:, 2])", "not finite"), ("1 / s.foot_force[:, 0]", "not finite"),
    ("1e6 * s.power", "reaches"),
])  # fmt: skip
def test_the_contract_finds_what_types_cannot(term, says):
    reward = compile_reward(
        f'def reward(s):\n    return {{"a": alive(s),\n            "b": {term}}}', FIELDS
    )
    faults = check_contract(reward, FIELDS)
    assert any(says in f.message for f in faults)
    assert all(f.code == "E_CONTRACT" and f.line == 3 and "'b'" in f.message for f in faults)


@pytest.mark.parametrize("term", ["100 // n", "n % 0", "torch.fmod(n, n)", "2 ** -n", "n // n"])
def test_whole_numbers_are_divided_as_floats_so_that_no_state_raises(term):
    """torch raises where whole numbers are divided by 0; here the quotient is infinite and is masked."""
    text = f"def reward(s):\n    n = s.x.long()\n    return {{'a': ({term}).float()}}\n"
    reward = compile_reward(text, X)
    state = {f.name: torch.zeros(3, *f.shape) for f in X} | {"x": torch.tensor([0.0, 1.0, -2.0])}
    n = state["x"]
    assert reward(state)["a"].nan_to_num().equal(eval(term, {"n": n, "torch": torch}).nan_to_num())


def test_the_contract_reports_whatever_a_reward_raises():
    reward = compile_reward("def reward(s):\n    return {'a': s.x}\n", X)
    reward._program = lambda state: 1 // 0  # what an operation of another device may do
    assert "cannot be computed" in check_contract(reward, X)[0].message


def test_the_contract_tries_native_terms_and_recorded_states():
    text = 'def reward(s):\n    return {"a": 0.5 * style(s)}'
    good = {"style": lambda state: state["x"] * 2}
    reward = compile_reward(text, X, native=good)
    assert reward(STATE)["a"].tolist() == [-1, 0.5, 2, 4] and reward.inputs == {f.name for f in X}
    assert check_contract(reward, X, states=[STATE]) == []
    mixing = compile_reward(text, X, native={"style": lambda state: state["x"] - state["x"].mean()})
    assert "environments" in check_contract(mixing, X)[0].message
    memory: list[float] = []

    def remembers(state):
        memory.append(1.0)
        return state["x"] + len(memory)

    assert any(
        "computed again" in f.message
        for f in check_contract(compile_reward(text, X, native={"style": remembers}), X)
    )
    wild = [STATE | {"x": torch.full((4,), 2 * BOUND)}]
    assert "recorded 0" in check_contract(reward, X, states=wild)[0].message
    assert refusal(text)[0][0] == "E_NAME"
    with pytest.raises(RewardError, match="float32"):
        compile_reward(text, X, native={"style": lambda state: state["v"]})(STATE)


def test_a_reward_that_fails_on_recorded_states_alone_is_refused_before_training():
    """A foot presses with hundreds of newtons; no made-up state does."""
    text = (
        'def reward(s):\n    return {"alive": 1.0,\n'
        '            "soft": torch.log(300.0 - s.foot_force.amax(dim=-1))}'
    )
    biped = load_robot("biped")
    reward = compile_reward(text, FIELDS)
    assert check_contract(reward, FIELDS) == []
    states = recorded_states(biped)
    (error,) = tried(text, FIELDS, states, {}).errors
    assert (error.code, error.line) == ("E_CONTRACT", 3)
    assert "term 'soft' is not finite on recorded" in error.message
    for state, again in zip(states, recorded_states(biped), strict=True):
        assert all(torch.equal(value, again[name]) for name, value in state.items())


def test_many_rewards_are_checked_in_one_process():
    """Each verdict is that of its text, and the same as alone."""
    biped = load_robot("biped")
    good = 'PERIOD = 1\ndef reward(s):\n    return {"a": speed(s, 1.0, 0.5)}\n'
    wrong = "def reward(s):\n    return {'a': s.speed}\n"
    wild = "def reward(s):\n    return {'a': 1 / s.time}\n"
    verdicts = checked_all([good, wrong, wild], biped)
    assert [v.ok for v in verdicts] == [True, False, False]
    assert verdicts[0].terms == {"a": 3} and verdicts[0].inputs == ("root_vel",)
    assert verdicts[0].period == 1.0 and verdicts[0].nodes > 3
    assert verdicts[0].digest == compile_reward(good, FIELDS).digest
    assert [v.errors[0].code for v in verdicts[1:]] == ["E_FIELD", "E_CONTRACT"]
    assert checked(wrong, biped) == verdicts[1] and checked_all([], biped) == []


def test_a_reward_that_kills_its_process_costs_the_others_no_verdict():
    native = {"mine": {"function": "tests.native_functions:dies_alone"}}
    texts = [
        f"def reward(s):\n    return {{'a': {term}}}\n" for term in ("1.0", "mine(s)", "s.time")
    ]
    verdicts = checked_all(texts, load_robot("biped"), native)
    assert [v.ok for v in verdicts] == [True, False, True]
    (error,) = verdicts[1].errors
    assert error.code == "E_LIMIT" and "SIGSEGV" in error.message


def test_the_watch_masks_counts_and_names():
    reward = compile_reward(
        'def reward(s):\n    return {"a": s.x,\n            "b": torch.log(s.x)}', X
    )
    watch = Watch(reward, limit=0.3)
    masked = watch.masked(reward(STATE))
    assert masked[0].tolist() == [-1, 0.5, 2, 4]
    assert masked[1].tolist() == pytest.approx([0, math.log(0.5), math.log(2), math.log(4)])
    watch.check()  # a quarter of b is allowed
    watch.check()
    watch.limit = 0.2
    watch.masked(reward(STATE))
    with pytest.raises(RewardError, match=r"line 3.*'b' is not finite in 25\.00%"):
        watch.check()


def test_check_and_fields_on_the_command_line(tmp_path: Path, capsys):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text('def reward(s):\n    return {"a": speed(s, 1.0, 0.5)}\n')
    bad.write_bytes(b'def reward(s):\n    return {"a": s.sped, "b": open("/etc/passwd")}  # \xff')
    assert cli_check(good, "biped", as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["terms"] == [{"name": "a", "shape": "[N]", "line": 2}] and answer["inputs"] == [
        "root_vel"
    ]
    assert "rlimits" in answer["jail"]
    assert cli_check(bad, "biped") == 1
    printed = capsys.readouterr().out
    assert f"{bad}:2:18: E_FIELD" in printed and "E_NAME" in printed
    assert cli_fields("hopper", as_json=True) == 0
    assert [f["name"] for f in json.loads(capsys.readouterr().out)] == [
        f.name for f in load_robot("hopper").fields
    ]
    assert "s.root_vel" in robot_card(FIELDS) and "right_knee" in robot_card(FIELDS)


def test_the_page_is_generated_from_the_code():
    page = (Path(__file__).parents[1] / "docs" / "reward-language.md").read_text(encoding="utf-8")
    assert filled(page) == page, "run python -m reelward.authors.reference docs/reward-language.md"
    example = page.split("```python\n")[1].split("```")[0]
    reward = compile_reward(example, FIELDS)
    assert reward.period == 1.31 and check_contract(reward, FIELDS) == []


ANSWER: dict[str, object] = {
    "ok": True,
    "digest": "",
    "period": None,
    "terms": {"a": 1},
    "nodes": 1,
}


@pytest.mark.parametrize(
    "answers",
    [
        [], [ANSWER, ANSWER], {}, None, "ok", [1], [{}], [ANSWER | {"terms": {"a": "\x1b"}}],
        [ANSWER | {"errors": [{"code": 1}]}], [ANSWER | {"inputs": 3}], [ANSWER | {"period": []}],
    ],
)  # fmt: skip
def test_a_check_that_was_taken_over_is_a_refusal(monkeypatch, answers):
    monkeypatch.setattr(checking, "jailed", lambda *_, **__: answers)
    result = checking.checked("", load_robot("biped"))
    assert not result.ok and result.errors[0].code == "E_LIMIT"
    assert "makes no sense" in result.errors[0].message
    monkeypatch.setattr(checking, "jailed", lambda *_, **__: [ANSWER])
    assert checking.checked("", load_robot("biped")).terms == {"a": 1}
