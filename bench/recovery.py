"""Does the loop recover a motion whose truth is known?

  full        the loop as it is
  critic_off  after iteration 0 nobody compares: targets and weights move at random, and of the same
              starts and trainings one goes on by chance
  random      they move at random, but the critic says which of the trained goes on
  author_off  iteration 0 only: it comes for free with the full loop
  goal        the goal's terms alone, for a zero that is more than one training
  keep_off    an iteration's best candidate goes on, though the parent's best was better
  warm_off    every candidate starts from scratch

The score is how far the learned policy went from that of the goal's terms alone (0, a mean over the
seeds) to the hidden expert (1): by the hidden reward, and by descriptors that the loop never sees.

  python bench/recovery.py --seeds 1 2 3 --modes full critic_off

Prints tables and writes bench/results/recovery.json; what is there already is not run again. Experts
and finished trainings stay in --scratch: a run that was killed goes on from its newest checkpoint.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import loop_quality
import numpy as np
import tyro
from common import show
from experts import (
    EXPERTS,
    FPS,
    FRAMES,
    Hidden,
    earned,
    expert_policy,
    robot_options,
    watched,
)

from reelward import rollout
from reelward.language import compile_reward
from reelward.measures.base import START_UP_S, Episodes
from reelward.measures.gait import Gait, alternate
from reelward.measures.reference import reference
from reelward.measures.view import GRAVITY
from reelward.motion import signals
from reelward.motion.expert import OUTLINE_SIDE
from reelward.motion.record import to_json
from reelward.motion.subject import follow_outline
from reelward.motion.video import encode_mp4, frames
from reelward.policy import Policy
from reelward.render import Renderer
from reelward.runtime import files
from reelward.sim.robot import Robot, load_robot

HELD_OUT = {"lean": 10.0, "sway": 5.0, "clearance": 0.1, "bend": 20.0, "pitch": 15.0,
            "surge": 0.1}  # fmt: skip
"""what the loop never sees, and how much of each counts as one: mean and deviation of the trunk's
pitch, rise of the ankles, mean bend of the knees, deviation of the feet's pitch, deviation of the
speed"""


def held_out(robot: Robot, episodes: Episodes) -> dict[str, float]:
    """Medians over the episodes, from exact points."""
    leg, found = robot.leg_length_m, []
    for track in episodes.tracks(robot):
        cut = track.cut(START_UP_S)
        t = (cut if cut.seconds > 1.0 else track).smooth()
        if len(t) < 8:
            continue
        trunk = signals.trunk(t)
        speed = np.diff(t.centre[:, 0]) * t.fps / math.sqrt(GRAVITY * leg)
        ankles = [t.point(f"{g}_ankle")[:, 1] / leg for g in t.legs]
        found.append({
            "lean": trunk.mean(),
            "sway": trunk.std(),
            "clearance": float(np.mean([np.percentile(a, 95) - np.percentile(a, 5) for a in ankles])),
            "bend": float(np.mean([np.abs(signals.flexion(t, g)).mean() for g in t.legs])),
            "pitch": float(np.mean([signals.limb(t, f"{g}_ankle", f"{g}_toe").std() for g in t.legs])),
            "surge": speed.std(),
        })  # fmt: skip
    return {n: float(np.median([f[n] for f in found])) for n in HELD_OUT}


def apart(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Mean difference, none above two."""
    return float(np.mean([min(abs(a[n] - b[n]) / HELD_OUT[n], 2.0) for n in HELD_OUT]))


def judged(
    robot: Robot, policy: Policy, hidden: Hidden, period: float, seed: int
) -> dict[str, Any]:
    """What the truth says of a policy: the hidden reward over ten seconds, and what was held out."""
    truth = compile_reward(hidden.source(robot.leg_length_m, period), robot.fields)
    reached, episodes = earned(robot, policy, truth, seed)
    return {"hidden": reached, "held_out": held_out(robot, episodes)}


MODES = {"full": "measured", "critic_off": "blind", "random": "random", "keep_off": "keep_off",
         "warm_off": "warm_off", "goal": "measured"}  # fmt: skip


@dataclass(frozen=True)
class Args:
    experts: tuple[str, ...] = tuple(EXPERTS)
    seeds: tuple[int, ...] = (1, 2, 3)
    modes: tuple[Literal["full", "critic_off", "random", "keep_off", "warm_off", "goal"], ...] = (
        "full",
        "critic_off",
    )
    iterations: int = 4
    """after iteration 0"""
    env_steps: int = 200_000
    """of a candidate from scratch; a warm one has half"""
    processes: int = 1
    results: Path = Path(__file__).parent / "results/recovery.json"
    scratch: Path = Path("scratch/recovery")
    """experts and finished trainings"""
    outlines: bool = False
    """only film the experts before a plain wall, print what their outlines give, and draw sheets"""


def study(name: str, mode: str, seed: int, args: Args) -> dict[str, Any]:
    """One loop towards one expert: what the truth says of the expert, of the goal's policy and of
    each iteration's best."""
    hidden, (body, policy, truth) = EXPERTS[name], expert_policy(name, args.scratch / "experts")
    learner = load_robot(hidden.robot)
    shown = rollout.run(body, policy, truth, episodes=4, seconds=10.0, seed=seed)
    rng = np.random.default_rng([seed, *name.encode()])
    motion = watched(body, shown, rng)

    def look(path: Path, source: str) -> dict[str, Any]:
        period = compile_reward(source, learner.fields).period
        return judged(learner, Policy.load(path), hidden, period, seed)

    work = robot_options(learner.name) | {
        "symmetric": learner.symmetric and alternate(motion),
        "env_steps": args.env_steps, "warm_env_steps": args.env_steps // 2,
    }  # fmt: skip
    how = loop_quality.Args(
        Path(), iterations=0 if mode == "goal" else args.iterations,
        candidates=1 if mode == "goal" else 3, robot=learner.name, processes=args.processes,
        scratch=args.scratch / "trainings",
    )  # fmt: skip
    best = judged(body, policy, hidden, truth.period, seed)
    curve = loop_quality.study(MODES[mode], seed, motion, how, work, look)
    return {"expert": best, "motion": to_json(motion)["descriptors"], "curve": curve}


def outlined(name: str, args: Args) -> dict[str, Any]:
    """What the outline path measures of a film of the expert, beside the truth."""
    robot, policy, truth = expert_policy(name, args.scratch / "experts")
    shown = rollout.run(robot, policy, truth, episodes=1, seconds=8.0, seed=1)
    motion = Gait().of(robot, shown)
    picture = rollout.artefacts(robot, shown, Gait())["sheet.jpg"]
    (args.scratch / f"{name}.jpg").write_bytes(picture)
    camera, every = Renderer(robot, 480, 360), 1 / FPS
    first = round(START_UP_S / shown.dt)
    rows = [first + round(i * every / shown.dt) for i in range(FRAMES)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        path.write_bytes(encode_mp4((camera.frame(shown.qpos[r, 0]) for r in rows), FPS))
        seen = follow_outline(frames(path, side=OUTLINE_SIDE), count=8)
    found = reference(seen, 1.0) if seen else None
    return {
        "expert": name,
        "period": motion.period and motion.period.value,
        "seen": found and found.period and found.period.value,
        "airborne": motion.descriptors["airborne"].value,
        "seen ": found and found.descriptors["airborne"].value,
    }


Figures = tuple[float, float]
"""by the hidden reward, and by what was held out"""


def figures(study: dict[str, Any], policy: dict[str, Any]) -> Figures:
    """Of a policy: its hidden reward, and how far it is from the expert by what was held out."""
    return policy["hidden"], apart(policy["held_out"], study["expert"]["held_out"])


def naive(studies: Sequence[dict[str, Any]]) -> Figures:
    """Those of the goal's policy, mean over the studies of one expert: where one training of it comes
    to is chance. Not a number where nothing was proposed."""
    goals = [(s, s["curve"][0]["goal"]) for s in studies]
    found = [figures(s, goal) for s, goal in goals if goal] or [(math.nan, math.nan)]
    hidden, away = np.mean(found, axis=0)
    return float(hidden), float(away)


def scores(study: dict[str, Any], row: int, zero: Figures) -> Figures:
    """How far an iteration's best went from the goal's policy (0) to the expert (1); at least -1, at
    most 1, no number where there was no way to go."""
    if not study["curve"][0]["goal"]:  # the video did not even give a speed: nothing was proposed
        return 0.0, 0.0
    hidden, away = figures(study, study["curve"][row])
    way = study["expert"]["hidden"] - zero[0]
    by_reward = (hidden - zero[0]) / way if way > 0.02 else math.nan
    return float(np.clip(by_reward, -1, 1)), float(np.clip(1 - away / zero[1], -1, 1))


def report(results: Mapping[str, dict[str, Any]]) -> None:
    found: dict[tuple[str, str], dict[str, Figures]] = {}
    studies: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for key, study_ in results.items():
        name, mode, seed = key.split("-")
        studies.setdefault(name, {})[mode, seed] = study_
    for name, each in studies.items():
        first = {seed: study_ for (_, seed), study_ in each.items()}  # modes share their goals
        zero = naive(list(first.values()))
        for (mode, seed), study_ in each.items():
            found.setdefault((name, mode), {})[seed] = scores(study_, -1, zero)
            if mode == "full":
                found.setdefault((name, "author_off"), {})[seed] = scores(study_, 0, zero)
    modes = [
        m for m in ("author_off", *MODES) if m != "goal" and any(mode == m for _, mode in found)
    ]
    rows = []
    for name, hidden in EXPERTS.items():
        row: dict[str, Any] = {"expert": name, "body": "other" if hidden.other else "own"}
        for mode in modes:
            seeds = found.get((name, mode), {})
            means = np.nanmean(list(seeds.values()), axis=0) if seeds else (None, None)
            row |= {f"{mode} reward": means[0], f"{mode} held out": means[1]}
        rows.append(row | {"seeds": len(found.get((name, "full"), {}))})
    show("way from the goal's policy (0) to the hidden expert (1)", rows)
    for i, by in enumerate(("hidden reward", "held-out descriptors")):
        full = {
            n: {s: v[i] for s, v in seeds.items()} for (n, m), seeds in found.items() if m == "full"
        }
        if full:
            mean = np.nanmean([np.nanmean(list(v.values())) for v in full.values()])
            print(f"\n{by}: full, mean over {len(full)} experts {mean:.2f}")
        for mode in (m for m in modes if m != "full"):
            # Pairs: an expert's seeds that ran both ways, which share their first trainings.
            pairs = [
                np.nanmean([mine[s] - v[i] for s, v in found[n, mode].items() if s in mine])
                for n, mine in full.items()
                if mine.keys() & found.get((n, mode), {}).keys()
            ]
            gains = [float(g) for g in pairs if math.isfinite(g)]
            if len(gains) > 1:
                mean, low, high = loop_quality.interval(gains)
                print(
                    f"  full - {mode}: {mean:+.2f}, 90 % interval {low:+.2f} .. {high:+.2f}, {len(gains)} experts"
                )


def main(args: Args) -> None:
    if args.outlines:
        show("experts as outlines", [outlined(name, args) for name in args.experts])
        return
    results = files.read_json(args.results) if args.results.is_file() else {}
    for seed in args.seeds:
        for name in args.experts:
            for mode in args.modes:
                if (key := f"{name}-{mode}-{seed}") not in results:
                    results[key] = json.loads(json.dumps(study(name, mode, seed, args)))
                    files.write_json(args.results, results)
    report(results)


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
