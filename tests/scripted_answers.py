"""The answers of a script that stands in for a model, made from the figures in a prompt.

As critic it compares two columns of the table and names what is furthest off. As author it does
what the critique says, adds a term, or moves targets beyond what was missed.
"""

from __future__ import annotations

import ast
import re
from typing import Any

TERMS = {
    "alive": "alive(s)",
    "speed": 'speed(s, TARGET["speed"], 0.5)',
    "upright": 'upright(s, TARGET["lean"], 0.25)',
    "clock": 'clock(s, TARGET["duty"])',
    "step": 'step(s, TARGET["step"], 0.25)',
    "knee": 'knee(s, TARGET["knee"], TARGET["duty"], 0.3)',
    "bob": 'bob(s, HIP, TARGET["bob"], 0.04)',
    "thigh": 'thigh(s, TARGET["thigh"], 0.3)',
    "slip": "slip(s)",
    "smooth": "smooth(s)",
    "energy": "energy(s)",
}
GOAL = {"alive": 1.0, "speed": 1.0, "upright": 1.0, "smooth": 0.1, "energy": 0.1}
SHAPES = ("clock", "step", "knee", "bob")
OPTIONAL = (*SHAPES, "thigh", "slip")
FIRST_NOTES = (
    "the goal alone",
    "the goal and the expert's rhythm",
    "the whole motion, from the figures",
)
NOISE = 0.05
"""tolerances; a smaller difference is noise of training"""


def table(prompt: str, columns: int) -> list[list[str]]:
    """Cells of all tables with this number of columns, without their heads."""
    rows = [[c.strip() for c in x.strip("| ").split("|")] for x in prompt.splitlines() if "|" in x]
    return [r for r in rows if len(r) == columns and r[0] and not r[0].startswith("-")]


def describe(prompt: str) -> dict[str, Any]:
    figures = [f"{name} near {value} ({unit})" for name, value, unit in table(prompt, 3)]
    return {"description": f"In figures: {', '.join(figures)}.", "criteria": figures[:8]}


def tolerances(text: str) -> float:
    """A difference in the table; one that was not measured counts as far off."""
    return 3.0 if text == "-" else float(text)


def critique(prompt: str) -> dict[str, Any]:
    judged = re.search(r"Judge robot ([AB])", prompt)[1]
    terms = re.search(r"was trained on: (.*)\.", prompt)[1].split(", ")
    at, off = (2, 3) if judged == "A" else (4, 5)
    rows = sorted(table(prompt, 6), key=lambda r: -abs(tolerances(r[off])))
    bad = {
        "A": sum(abs(tolerances(r[3])) for r in rows),
        "B": sum(abs(tolerances(r[5])) for r in rows),
    }
    for letter in bad:
        bad[letter] += 30.0 * (f"Robot {letter} falls" in prompt)
    apart = abs(bad["A"] - bad["B"])
    far = [(r[0].split(" ")[0], r) for r in rows if abs(tolerances(r[off])) >= NOISE]
    faults = [f"{name} is {r[at]}, the expert's {r[1]}" for name, r in far[:3]]
    moved = [(name, "down" if tolerances(r[off]) > 0 else "up") for name, r in far if name in terms]
    lacks = [name for name, _ in far if name in TERMS and name not in terms]
    fell = f"Robot {judged} falls" in prompt
    return {
        "wrong": "; ".join(["it falls"] * fell + faults) or "nothing that the figures show",
        "rewrite": f"move the target of {moved[0][0]} {moved[0][1]}" if moved else "",
        "remove": "",
        "add": f"a term for {lacks[0]}" if lacks else "",
        "failure": "fall" if fell else "none",
        "closer": "same" if apart < 1e-6 else min(bad, key=lambda k: bad[k]),
        "confidence": round(min(0.95, 0.5 + apart / 4), 2),
    }  # fmt: skip


def author(prompt: str) -> dict[str, Any]:
    """One of three edits, by the candidate's number: what the critique names; a new term; all targets."""
    wanted = {n: float(v) for n, v in re.findall(r"^- (\w+) = ([-\d.e]+) ", prompt, re.M)}
    leg = float(re.search(r"leg ([\d.]+) m", prompt)[1])
    way = (int(re.search(r"Candidate (\d+) of", prompt)[1]) - 1) % 3
    rows = {r[0]: r for r in table(prompt, 4) if r[1] != "expert"}
    parent = ast.parse(re.search(r"to go on from\n\n```python\n(.*?)```", prompt, re.S)[1])
    named = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in parent.body
        if isinstance(node, ast.Assign)
    }
    if not rows or not wanted:
        weights = GOAL | dict.fromkeys(SHAPES[: (0, 1, 4)[way]], 1.0)
        return reward_file(wanted or named.get("TARGET", {}), weights, leg, FIRST_NOTES[way])
    weights = dict(named["WEIGHT"])
    targets = wanted | named["TARGET"] | {"period": named.get("PERIOD", wanted["period"])}
    missing = [t for t in OPTIONAL if t not in weights and (t in wanted or t in ("clock", "slip"))]
    rewrite = re.findall(r"^rewrite: move the target of (\w+)", prompt, re.M)
    add = [n for n in re.findall(r"^add: a term for (\w+)", prompt, re.M) if n in missing]
    added = (add or missing)[:1]
    if added and (way == 1 or "failure: fall" in prompt):
        return reward_file(targets, weights | {added[0]: 1.0}, leg, f"adds a term: {added[0]}")
    aims = [
        name for name, (_, expert, robot, off) in rows.items()
        if name in wanted and f'["{name}"]' in calls(weights) and float(expert) and robot != "-"
        and abs(float(off)) >= NOISE
    ]  # fmt: skip
    if way == 0:
        aims = [n for n in rewrite if n in aims] or aims[:1]
    else:
        weights |= {n: 1.5 * weights[n] for n in aims[:1]}
    for name in aims:
        expert, robot = float(rows[name][1]), float(rows[name][2])
        targets[name] -= 0.6 * (robot - expert) * wanted[name] / expert
    return reward_file(targets, weights, leg, f"aims beyond what it missed: {', '.join(aims)}")


def calls(weights: dict[str, float]) -> str:
    return "\n".join(f'        "{n}": WEIGHT["{n}"] * {TERMS[n]},' for n in TERMS if weights.get(n))


def reward_file(
    targets: dict[str, float], weights: dict[str, float], leg: float, note: str
) -> dict[str, Any]:
    body = calls(weights)
    used = {n: round(v, 4) for n, v in targets.items() if f'TARGET["{n}"]' in body}
    lines = [f'"""{note}"""', "", f"PERIOD = {targets.get('period', 1.0):.4g}"]
    lines += [f"HIP = {0.95 * leg:.4g}", "", "TARGET = {"]
    lines += [f'    "{n}": {v},' for n, v in used.items()]
    lines += ["}", "WEIGHT = {"]
    lines += [f'    "{n}": {weights[n]},' for n in TERMS if weights.get(n)]
    lines += ["}", "", "", "def reward(s):", "    return {", body, "    }", ""]
    return {"note": note, "reward": "\n".join(lines)}


def answer(prompt: str) -> dict[str, Any]:
    """The answer to the first message of a conversation, in the form that it asks for."""
    roles = {"You will judge": describe, "Two robots": critique, "You write the reward": author}
    return next(role for begin, role in roles.items() if prompt.startswith(begin))(prompt)
