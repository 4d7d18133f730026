"""One page that shows expert and learner side by side, and why the reward changed.

reads   expert/         video.mp4, provenance.json, keyframes/, criteria.json
        iterations/     of the seed and every iteration of the ledger: best/, rollouts/, policies/,
                        critique.json, proposal.json
        rewards/        selected.py, feedback.json
writes  report/         index.html, which opens by double click, and media/ beside it

report.html is the page; here stands what it shows. What a video, a model or a user wrote reaches
it through Jinja's escaping alone.
"""

from __future__ import annotations

import ast
import csv
import difflib
import math
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from reelward.measures.gait import tolerance
from reelward.motion.course import curve
from reelward.motion.cycle import keyframes, landings
from reelward.motion.figure import stick_figure
from reelward.motion.record import Motion, from_json
from reelward.motion.sheet import body_height
from reelward.motion.track import unpack
from reelward.motion.video import probe
from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.studies import ledger

POINTS = 160
"""most points of a learning curve"""
TRAINER = ("env_steps", "falls", "approx_kl", "clip_fraction", "value_loss", "std")
"""columns of a learning curve that tell of PPO, not of the learner"""
LIBRARIES = ("reelward", "torch", "mujoco", "gymnasium", "numpy", "dvc")


@dataclass(frozen=True)
class Args:
    expert: Path
    """folder of the expert"""
    iterations: Path
    """folder of the iterations"""
    rewards: Path
    """folder of the rewards"""
    ledger: Path
    """loop.yaml"""
    out: Out
    """folder to create"""
    task: str
    """the task in a sentence"""
    robot: str
    """robots/NAME"""


def copied(source: Path, out: Path, name: str) -> str | None:
    """A picture or film of the page, copied beside it: its address, None where there is none."""
    to = out / "media" / name
    if not source.is_file():
        return None
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
    return to.relative_to(out).as_posix()


def stride(landings: list[float], period: float, seconds: float) -> dict[str, float]:
    """The last whole stride (s) of a film that begins with a landing: a learner's gait is still
    forming at first. Nothing where none fits."""
    fit = [t for t in landings if 0 <= t <= seconds - period]
    return {"start": round(max(fit), 3), "period": round(period, 4)} if fit else {}


def clip(film: Path, address: str | None, folder: Path, motion: Motion) -> dict[str, Any] | None:
    """What the player must know of a film: size, length, `rate` (its seconds a second of the
    world), where one stride lies, the stick figure and when (s) that begins."""
    if address is None:
        return None
    info, scale = probe(film), motion.time_scale or 1.0
    known = {"src": address, "width": info.width, "height": info.height, "rate": 1 / scale}
    known |= {"seconds": round(info.seconds, 3)}
    track = unpack(path.read_bytes()) if (path := folder / "track.npz").is_file() else None
    if not track:
        return known
    begins, period = 0.0, motion.period.value / scale if motion.period else None
    if (path := folder / "tiles.json").is_file():
        tiles = files.read_json(path)
        begins = tiles[0]["time_s"] - keyframes(track, body_height(track), len(tiles))[0].time
    if period:
        found = [begins + frame / track.fps for frame in landings(track, period) or [0]]
        known |= stride(found, period, info.seconds)
    leg = motion.leg_length_m if motion.subject.startswith("robot:") else None
    figure = stick_figure(track, leg, period, info.seconds)
    return known | {"begins": round(begins, 3), "figure": figure}


def anatomy(source: str) -> tuple[dict[str, Any], set[str]]:
    """Constants (`TARGET speed`: 1.3) and names of the terms in the text of a reward."""
    constants: dict[str, Any] = {}
    terms: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "reward":
            keys = [k for d in ast.walk(node) if isinstance(d, ast.Dict) for k in d.keys]
            terms |= {str(k.value) for k in keys if isinstance(k, ast.Constant)}
        elif isinstance(node, ast.Assign) and isinstance(name := node.targets[0], ast.Name):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:  # worked out from others: the difference of the texts shows it
                continue
            each = value if isinstance(value, dict) else {"": value}
            constants |= {
                f"{name.id} {key}".strip(): v
                for key, v in each.items()
                if not isinstance(v, dict | list | tuple)  # the difference of the texts shows it
            }
    return constants, terms


def change(before: str, after: str, parent: str, iteration: str) -> dict[str, Any]:
    """What became of a reward: terms, constants (name, old, new), the difference of the texts."""
    (old, had), (new, has) = anatomy(before), anatomy(after)
    names = (f"rewards/{parent}/selected.py", f"rewards/{iteration}/selected.py")
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    moved = [(n, old.get(n), new.get(n)) for n in {**new, **old} if old.get(n) != new.get(n)]
    terms = {"added": sorted(has - had), "removed": sorted(had - has)}
    return terms | {"moved": moved, "diff": list(diff), "source": after}


def curves(path: Path) -> dict[str, Any] | None:
    """The learning curves in a box of 200 x 48: return, episode length, each term."""
    if not path.is_file():
        return None
    rows = list(csv.DictReader(path.read_text().splitlines()))
    total = float(rows[-1]["env_steps"])
    rows = rows[:: math.ceil(len(rows) / POINTS)] + rows[-1:]
    lines = {}
    for name in (n for n in rows[0] if n not in TRAINER):
        seen = [(float(r["env_steps"]), float(r[name])) for r in rows]
        if seen := [(x, y) for x, y in seen if math.isfinite(y)]:
            low, high = min(y for _, y in seen), max(y for _, y in seen)
            up = 48 / ((high - low) or 1.0)
            points = " ".join(f"{200 * x / total:.1f},{(high - y) * up:.1f}" for x, y in seen)
            lines[name] = {"points": points, "low": low, "high": high, "last": seen[-1][1]}
    return {"env_steps": int(total), "lines": lines}


def table(expert: Motion, learners: dict[str, Motion]) -> list[dict[str, Any]]:
    """A line for each descriptor: the expert's figure and tolerance, the digits that its
    uncertainty leaves, and for each learner its figure and how many tolerances it is off."""
    lines = []
    for name, e in expert.descriptors.items():
        u = e.uncertainty or abs(e.value or 0.0) / 100
        digits = min(6, max(0, 1 - math.floor(math.log10(u)))) if u else 2
        cells = {}
        for key, motion in learners.items():
            mine, off = motion.descriptors[name], None
            if e.usable and mine.usable and None not in (e.value, mine.value):
                off = (mine.value - e.value) / tolerance(name, e)  # type: ignore[operator]
            cells[key] = {"mine": mine, "off": off}
        line = {"name": name, "expert": e, "digits": digits, "cells": cells}
        lines.append(line | {"tolerance": tolerance(name, e)})
    return lines


def cycles(expert: Motion, learner: Motion) -> list[dict[str, Any]]:
    """Thigh and knee of each leg of the expert through its cycle, from its landing on, and the hip
    above the first one; of the learner's leg beside it: lines in a box of 200 x 48 over a range."""
    phase, drawn = np.linspace(0, 1, 51), []
    units = {"thigh": (1, "degrees"), "knee": (1, "degrees"), "hip": (100, "% of the leg")}
    first = next(iter(expert.courses), None)
    alone = next(iter(learner.courses.values()), None) if len(expert.courses) == 1 else None
    for leg, theirs in expert.courses.items():
        mine = learner.courses.get(leg, alone)
        for part, (scale, unit) in units.items():
            if part == "hip" and leg != first:
                continue
            values = {
                who: scale * curve(getattr(c, part), phase + c.landing)
                for who, c in (("expert", theirs), ("learner", mine))
                if c
            }
            low, high = (f(np.concatenate([*values.values()])) for f in (np.min, np.max))
            up = 48 / max(high - low, 1.0)
            lines = {
                who: " ".join(
                    f"{200 * p:.1f},{(high - v) * up:.1f}" for p, v in zip(phase, y, strict=True)
                )
                for who, y in values.items()
            }
            name = "hip" if part == "hip" else f"{leg} {part}"
            drawn.append({"name": name, "unit": unit, "lines": lines, "low": low, "high": high})
    return drawn


def learner(name: str, selected: str, best: Path, out: Path) -> dict[str, Any]:
    """What is shown of the best of an iteration, or of the seed."""
    motion = from_json(files.read_json(best / "motion.json"))
    at = selected or "seed"  # an iteration that kept its parent's best shares its pictures
    film = copied(best / "video.mp4", out, f"{at}/video.mp4")
    return {
        "name": name,
        "motion": motion,
        "sheet": copied(best / "sheet.jpg", out, f"{at}/sheet.jpg"),
        "clip": clip(best / "video.mp4", film, best, motion),
    }


def iteration(name: str, parent: str, args: Args, out: Path) -> dict[str, Any]:
    """What is shown of an iteration: its best, the change of the reward, why, all candidates."""
    folder, rewards = args.iterations / name, args.rewards / name
    feedback = files.read_json(rewards / "feedback.json")
    critique = files.read_json(folder / "critique.json")
    selected = feedback["selected"]
    home, _, chosen = selected.partition("/")
    candidates = [
        c | {
            "judged": critique["candidates"].get(c["name"]),
            "sheet": copied(at / "sheet.jpg", out, f"{name}/{c['name']}/sheet.jpg"),
            "film": copied(at / "video.mp4", out, f"{name}/{c['name']}/video.mp4"),
        }
        for c in files.read_json(folder / "policies/index.json")["candidates"]
        for at in [folder / "rollouts" / c["name"]]
    ]  # fmt: skip
    before, after = ((r / "selected.py").read_text() for r in (args.rewards / parent, rewards))
    known = files.read_json(args.rewards / parent / "feedback.json")  # what the author was told
    return learner(name, selected, folder / "best", out) | {
        "parent": parent,
        "selected": selected,
        "chosen": chosen if home == name else None,
        "feedback": feedback,
        "critique": critique,
        "candidates": candidates,
        "proposal": files.read_json(folder / "proposal.json"),
        "because": known.get("critique", critique["parent"]),
        "change": change(before, after, parent, name),
        "curves": curves(args.iterations / home / f"policies/{chosen}.csv") if selected else None,
    }


def page(args: Args, out: Path) -> str:
    """The page; its pictures and films are copied to `out`."""
    keyframes_at = args.expert / "keyframes"
    motion = from_json(files.read_json(keyframes_at / "motion.json"))
    film = copied(args.expert / "video.mp4", out, "expert/video.mp4")
    expert = {
        "motion": motion,
        "sheet": copied(keyframes_at / "sheet.jpg", out, "expert/sheet.jpg"),
        "clip": clip(args.expert / "video.mp4", film, keyframes_at, motion),
    }
    text = args.ledger.read_text()
    seed = learner(ledger.SEED, "", args.iterations / ledger.SEED / "best", out)
    seed["source"] = (args.rewards / ledger.SEED / "selected.py").read_text()
    made = [iteration(*entry, args, out) for entry in ledger.parents(text).items()]
    learners = {x["name"]: x for x in (seed, *made)}
    criteria = files.read_json(args.expert / "criteria.json")
    answers = [criteria, *(x[said] for x in made for said in ("proposal", "critique"))]
    env = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = env.from_string(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.render(
        task=args.task,
        robot=args.robot,
        provenance=files.read_json(args.expert / "provenance.json"),
        scripted=any(said.get("scripted") for said in answers),
        expert=expert,
        criteria=criteria,
        seed=seed,
        iterations=made,
        last=learners[ledger.last(text)],
        clips={name: x["clip"] for name, x in (("expert", expert), *learners.items())},
        table=table(motion, {x["name"]: x["motion"] for x in made}),
        cycles={x["name"]: cycles(motion, x["motion"]) for x in made},
        versions={name: version(name) for name in LIBRARIES},
    )


def main(args: Args) -> None:
    with files.new_folder(args.out) as out:
        files.write_text(out / "index.html", page(args, out))


if __name__ == "__main__":
    run_stage(main, Args)
