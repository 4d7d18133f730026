"""The reward language against attacks, random texts and rewards as models write them.

REELWARD_CASES sets how many random cases there are (default 300; 100000 for a long run).
"""

from __future__ import annotations

import os
import random
import re
import resource
import time
from pathlib import Path

import pytest
import torch
from language_attacks import ATTACKS, HONEST, MARK
from language_direct import states
from language_programs import random_numpy_program, random_program

from reelward.language import Reward, RewardError, check_contract, compile_reward
from reelward.language.graph import Ref, run_on
from reelward.language.ops import OPS
from reelward.runtime.jail import jailed
from reelward.sim.robot import load_robot

CASES = int(os.environ.get("REELWARD_CASES", "300"))
FIELDS = load_robot("biped").fields
REWARDS = sorted((Path(__file__).parent / "rewards").glob("*.py"))


def accepted(source: str, robot: str = "biped") -> Reward:
    """The reward, if it compiles and keeps the contract."""
    fields = load_robot(robot).fields
    reward = compile_reward(source, fields)
    faults = check_contract(reward, fields)
    if faults:
        raise RewardError(faults)
    return reward


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    accepted(HONEST)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_with_a_place_and_no_effect(name):
    exp, start, used = (
        torch.exp,
        time.process_time(),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )
    with pytest.raises(RewardError) as caught:
        accepted(ATTACKS[name])
    assert all(e.code.startswith("E_") and e.message for e in caught.value.errors)
    assert time.process_time() - start < 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 512 * 1024  # KiB
    assert not Path(MARK).exists() and torch.exp is exp


def direct(requests: list[tuple[str, str]]) -> list[dict]:
    """The terms of the texts when they are executed as Python, in the jail."""
    asked = [{"source": s, "robot": r} for s, r in requests]
    batches = [asked[i : i + 400] for i in range(0, len(asked), 400)]
    return [a for b in batches for a in jailed("tests.language_direct:answers", b, timeout=120)]


def assert_equal(reward: Reward, expected: dict, robot: str, source: str) -> None:
    assert "error" not in expected, f"{expected}\n{source}"
    for name, x in reward(states(robot)).items():
        wanted = torch.tensor(expected[name], dtype=torch.float64)
        wanted[wanted > 1e200] = torch.nan
        got = torch.where(x.isfinite(), x, torch.nan).double()
        assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-5, equal_nan=True), (
            f"{name}\n{source}"
        )


def test_generated_programs_mean_what_python_means():
    seeds = range(CASES // 5)
    programs = [random_program(i) for i in seeds] + [random_numpy_program(i) for i in seeds]
    for source, expected in zip(programs, direct([(p, "biped") for p in programs]), strict=True):
        assert_equal(compile_reward(source, FIELDS), expected, "biped", source)


def repaired(source: str) -> str:
    """The text after the fixes noted at its end, `# fix: OLD -> NEW`, each as the hint says."""
    text = re.sub(r"^# fix: .*\n?", "", source, flags=re.M)
    for old, new in re.findall(r"^# fix: (.*?) ->(?: (.*))?$", source, re.M):
        assert old.replace("\\n", "\n") in text
        text = text.replace(old.replace("\\n", "\n"), new.replace("\\n", "\n"))
    return text


def test_realistic_rewards_are_accepted_or_mended_by_the_hint(capsys):
    sources, robots, rewards, mended = [], [], [], 0
    for path in REWARDS:
        source = path.read_text()
        robot = (re.findall(r"^# robot: (\w+)", source) or ["biped"])[0]
        try:
            reward = accepted(source, robot)
            assert "# fix" not in source, path.name
        except RewardError as error:
            assert error.errors[0].hint, f"{path.name}: {error}"
            source = repaired(source)
            reward = accepted(source, robot)
            mended += 1
        sources.append(source)
        robots.append(robot)
        rewards.append(reward)
    clumsy = sum(p.name.startswith("clumsy") for p in REWARDS)
    first = len(REWARDS) - mended
    with capsys.disabled():
        print(
            f"\n{len(REWARDS)} realistic rewards ({clumsy} clumsy): {first} accepted at once, "
            f"{mended} of {len(REWARDS) - first} others mended by following the hint"
        )
    assert len(REWARDS) >= 60 and clumsy >= len(REWARDS) / 3
    assert first >= 0.6 * len(REWARDS)
    for source, robot, reward, expected in zip(
        sources, robots, rewards, direct(list(zip(sources, robots, strict=True))), strict=True
    ):
        assert_equal(reward, expected, robot, source)


def node_by_node(reward: Reward, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The terms, each node of the graph computed by its row of the table."""
    values: list[torch.Tensor] = []
    for node in reward.nodes:
        args = [values[a.node] if isinstance(a, Ref) else a for a in node.args]
        values.append(state[args[0]] if node.op == "input" else run_on(OPS[node.op], args))
    return {name: values[i] for name, i in reward.outputs.items()}


def test_the_generated_function_computes_the_graph_to_the_bit():
    texts = [p.read_text() for p in REWARDS] + [random_program(1000 + i) for i in range(CASES // 5)]
    compiled = 0
    for source in texts:
        robot = (re.findall(r"^# robot: (\w+)", source) or ["biped"])[0]
        try:
            reward = compile_reward(source, load_robot(robot).fields)
        except RewardError:
            continue
        compiled += 1
        expected = node_by_node(reward, states(robot))
        for name, x in reward(states(robot)).items():
            assert x.numpy().tobytes() == expected[name].numpy().tobytes(), f"{name}\n{source}"
    assert compiled > 60


def fate(source: str) -> str:
    """Compiles any text at all: "accepted", "refused", or an assertion that fails."""
    start = time.process_time()
    try:
        reward = compile_reward(source, FIELDS)
        reward(states("biped"))
        result = "accepted"
    except RewardError:
        result = "refused"
    assert time.process_time() - start < 2.0, source
    return result


def test_mutated_programs_neither_crash_nor_act():
    r = random.Random(1)
    corpus = [p.read_text() for p in REWARDS] + list(ATTACKS.values())
    corpus = [c for c in corpus if len(c) < 4000]
    pieces = [w for c in corpus for w in re.findall(r"\w+|\S", c)]
    fates = []
    for _ in range(CASES):
        text = r.choice(corpus)
        for _ in range(r.randint(1, 4)):
            words = list(re.finditer(r"\w+|\S", text))
            if not words:
                break
            at = r.choice(words)
            other = r.choice(
                (r.choice(pieces), "", "(" + r.choice(pieces), r.choice(words).group())
            )
            text = text[: at.start()] + other + text[at.end() :]
        fates.append(fate(text))
    assert not Path(MARK).exists()
    assert {"accepted", "refused"} == set(fates)


def test_random_bytes_are_refused():
    r = random.Random(2)
    for _ in range(CASES):
        data = bytes(r.randrange(256) for _ in range(r.choice((1, 10, 100, 2000))))
        assert fate(data.decode(r.choice(("latin-1", "utf-8")), "replace")) == "refused"
