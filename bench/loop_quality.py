"""Does the loop come to walk like the video, and does its author earn its keep?

Runs whole loops (propose, train, measure, judge, select) over seeds, without DVC, from a measured
expert (data/expert/keyframes/motion.json of a study):

  measured   the measured author
  random     the same candidates, starts and trainings, but targets and weights moved at random
  blind      nobody compares: of the random candidates after iteration 0 one goes on, by chance
  keep_off   an iteration's best candidate goes on, though the parent's best was better
  warm_off   every candidate starts from scratch
  at_once    no loop: the whole library switched on, trained for the loop's lineage of env-steps

  python bench/loop_quality.py --expert data/expert/keyframes/motion.json --seeds 1 2 3 4 5

Prints a table and writes bench/results/loop_quality.json; what is there already is not run again.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
import yaml
from common import train
from scipy import stats

from reelward import loop
from reelward.authors import draft
from reelward.authors import measured as author
from reelward.authors.base import Brief
from reelward.critics import measured as critic
from reelward.critics.base import Scene, View
from reelward.language import compile_reward
from reelward.measures.describe import tolerance
from reelward.measures.gait import Gait
from reelward.motion.record import Motion, from_json
from reelward.policy import Policy
from reelward.records import (
    Candidate,
    Candidates,
    CheckedCandidate,
    Criteria,
    Feedback,
    ModelSettings,
)
from reelward.rollout import run
from reelward.runtime import files
from reelward.runtime.errors import InputError
from reelward.runtime.workers import spread
from reelward.sim.robot import Robot, load_robot
from reelward.studies import ledger
from reelward.training import PRELOAD

NO_MODEL = ModelSettings(name=None, temperature=None, max_tokens=1)
RESULTS = Path("bench/results/loop_quality.json")
Look = Callable[[Path, str], dict[str, Any]]
"""what else to say of a policy and its reward"""


@dataclass(frozen=True)
class Args:
    expert: Path
    """motion.json of the expert"""
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    modes: tuple[Literal["measured", "random", "blind", "keep_off", "warm_off", "at_once"], ...] = (
        "measured",
    )
    iterations: int = 3
    """after iteration 0"""
    candidates: int = 3
    robot: str = "biped"
    processes: int = 2
    results: Path = RESULTS
    scratch: Path = Path("scratch/checkpoints")
    """where finished trainings are kept; loops that agree in one share it"""


def options() -> dict[str, Any]:
    """The training's options of params.yaml."""
    return yaml.safe_load(Path("params.yaml").read_text())["train"]


@dataclass(frozen=True)
class Trained:
    """A candidate after its training."""

    policy: Path
    motion: Motion


def random_moves(
    brief: Brief, candidates: Sequence[Candidate], rng: np.random.Generator
) -> list[Candidate]:
    """The author's candidates with the same starts, but targets and weights moved at random: as far
    as the author may, in any direction, and half of the missing terms switched on."""
    robot, expert = brief.robot, brief.expert
    base, assumed = draft.begin(expert, robot)
    before = draft.read(compile_reward(brief.parent, robot.fields), base)
    assert before is not None
    moved = []
    for c in candidates:
        new = before
        for name, knob in draft.knobs(robot).items():
            e = expert.descriptors[knob.descriptor]
            if e.usable and name in new.targets:
                step = rng.uniform(-author.STEP, author.STEP) * tolerance(knob.descriptor, e)
                value = knob.to_reward(knob.to_descriptor(new.targets[name]) + step)
                new = new.with_target(name, value)
        for term in draft.shapes(robot, base):
            weight = new.weights.get(term, 0.0)
            if not weight and rng.random() < 0.5:
                new = new.with_term(term)
            elif weight and rng.random() < 0.3:
                change = author.RAISE ** rng.choice((-1, 1))
                new = new.with_weight(term, min(author.MAX_WEIGHT, weight * change))
        text = draft.source(new, robot, "Random.", assumed)
        moved.append(c.model_copy(update={"source": text, "note": "random"}))
    return moved


def proposed(mode: str, brief: Brief, rng: np.random.Generator) -> list[Candidate]:
    """The candidates of an iteration; none where the video gives no speed to aim at."""
    try:
        candidates = list(author.propose(brief).candidates)
    except InputError:
        return []
    if mode in ("random", "blind") and brief.parent:
        candidates = random_moves(brief, candidates, rng)
        if mode == "blind":
            return [candidates[rng.integers(len(candidates))]]
    if mode == "warm_off":
        return [c.model_copy(update={"start": "scratch"}) for c in candidates]
    return candidates


def checked(c: Candidate, robot: Robot) -> CheckedCandidate:
    """What the stage rewards says of a candidate of the measured author."""
    reward = compile_reward(c.source, robot.fields)
    return CheckedCandidate(
        name=c.name, start=c.start, number=c.number, note=c.note, file=f"{c.name}.py", error=None,
        terms=reward.terms, period=reward.period,
        targets=reward.constants["TARGET"], weights=reward.constants["WEIGHT"],
    )  # fmt: skip


def train_all(
    candidates: Sequence[Candidate], best: Path | None, seed: int, iteration: str, folder: Path,
    args: Args, settings: dict[str, Any],
) -> dict[str, Trained]:  # fmt: skip
    """Train the candidates and measure their rollouts."""
    robot = load_robot(args.robot)
    options = train.Args(
        rewards=folder,
        parent=best or folder,
        gait=folder,
        out=folder,
        robot=args.robot,
        native=Path(__file__).parents[1] / "params.yaml",
        seed=seed,
        iteration=iteration,
        **settings,
    )
    for c in candidates:
        (folder / f"{c.name}.py").write_text(c.source)
    jobs = [
        replace(j, checkpoints=args.scratch / j.checkpoints.name)
        for j in train.plan(options, [checked(c, robot) for c in candidates], folder)
    ]
    failed = spread(
        partial(train.learn_alone, options), {j.name: j for j in jobs}, args.processes,
        lambda name, steps: None, preload=PRELOAD,
    )  # fmt: skip
    assert not failed, failed
    trained = {}
    for c in candidates:
        policy = folder / f"{c.name}.pt"
        reward = compile_reward(c.source, robot.fields)
        episodes = run(robot, Policy.load(policy), reward, episodes=4, seconds=10.0, seed=seed)
        trained[c.name] = Trained(policy, Gait().of(robot, episodes))
    return trained


def study(
    mode: str, seed: int, expert: Motion, args: Args, settings: dict[str, Any],
    look: Look = lambda *_: {}, again: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """One study, by the functions that the stages call. Returns a row for the selected of each
    iteration: closeness, figures, what was tried, and what `look` says of its policy (in the first
    row also of the goal's alone). `again` trains the last reward once more from scratch."""
    robot, rng = load_robot(args.robot), np.random.default_rng(seed)
    nothing = {n: replace(d, value=None, usable=False) for n, d in expert.descriptors.items()}
    unmoved = replace(expert, descriptors=nothing, survival=0.0, keypoints=tuple(robot.keypoints))
    motion, best, seen = unmoved, None, {}
    brief = Brief(
        robot=robot, expert=expert, parent="", feedback=Feedback(),
        criteria=Criteria(description="", criteria=()), task="walk", count=args.candidates,
        native={}, model=NO_MODEL,
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for k in range(args.iterations + 1):
            name = ledger.name(k)
            folder = Path(scratch) / name
            folder.mkdir()
            candidates = proposed(mode, brief, rng)
            trained = train_all(candidates, best, seed, name, folder, args, settings)
            rival = unmoved if mode == "keep_off" else motion
            judgement = critic.critique(scene(expert, rival, trained))
            blind = mode == "blind" and bool(brief.parent)
            chosen = candidates[0].name if blind else loop.choose(judgement, 0.0)
            index = Candidates(candidates=tuple(checked(c, robot) for c in candidates))
            feedback = loop.feedback(brief.feedback, name, judgement, chosen, index)
            if chosen:
                best, motion = folder / "best/policy.pt", trained[chosen].motion
                with files.new_folder(best.parent) as new:
                    (new / best.name).write_bytes(trained[chosen].policy.read_bytes())
                source = next(c.source for c in candidates if c.name == chosen)
                brief = replace(brief, parent=source)
                seen = look(best, source)
            brief = replace(brief, feedback=feedback)
            critique = judgement.candidates[chosen] if chosen else judgement.parent
            row = {
                "iteration": k, "chosen": chosen, "closeness": critique.closeness,
                "eligible": critique.eligible, "survival": motion.survival,
                "figures": {n: d.value for n, d in motion.descriptors.items()},
                "tried": {n: c.closeness for n, c in judgement.candidates.items()},
                "notes": {c.name: c.note for c in candidates},
            }  # fmt: skip
            if not k:
                goal = look(trained["c0"].policy, candidates[0].source) if candidates else {}
                seen, row["goal"] = seen or goal, goal
            rows.append(row | seen)
            print(
                f"{mode} seed {seed} {name}: {row['closeness']:.3f} {chosen} {row['tried']}",
                flush=True,
            )
        if again and brief.parent:
            last = Candidate(
                name="again", source=brief.parent, start="scratch", number=900, note=""
            )
            (folder := Path(scratch) / "again").mkdir()
            final = train_all([last], None, seed, name, folder, args, settings)["again"]
            rows[-1]["final_reward_from_scratch"] = Gait().compare(expert, final.motion).closeness
            rows[-1]["reward"] = brief.parent
    return rows


def scene(expert: Motion, parent: Motion, trained: Mapping[str, Trained]) -> Scene:
    return Scene(
        measure=Gait(), expert=View(expert), parent=View(parent),
        learners={name: View(t.motion) for name, t in trained.items()},
        criteria=Criteria(description="", criteria=()), task="walk", iteration="", noise=0.03,
        model=NO_MODEL, words=Path(),
    )  # fmt: skip


def at_once(
    seed: int, expert: Motion, args: Args, settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """The whole library at weight 1, as many env-steps as the lineage of a loop's last policy."""
    robot = load_robot(args.robot)
    base, assumed = draft.begin(expert, robot)
    whole = reduce(draft.Draft.with_term, draft.shapes(robot, base), base)
    text = draft.source(whole, robot, "All at once.", assumed)
    steps = settings["env_steps"] + args.iterations * settings["warm_env_steps"]
    with tempfile.TemporaryDirectory() as scratch:
        c = Candidate(name="all", source=text, start="scratch", number=1, note="")
        longer = settings | {"env_steps": steps}
        motion = train_all([c], None, seed, ledger.name(0), Path(scratch), args, longer)[
            "all"
        ].motion
    comparison = Gait().compare(expert, motion)
    figures = {n: d.value for n, d in motion.descriptors.items()}
    return [{"iteration": 0, "closeness": comparison.closeness, "eligible": comparison.eligible,
             "survival": motion.survival, "figures": figures}]  # fmt: skip


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 90 % interval by Student's t. One difference has no interval."""
    n, mean = len(differences), statistics.mean(differences)
    if n == 1:
        return mean, math.nan, math.nan
    half = stats.t.ppf(0.95, n - 1) * statistics.stdev(differences) / math.sqrt(n)
    return mean, mean - half, mean + half


def report(results: dict[str, list[dict[str, Any]]], expert: Motion) -> None:
    names = [n for n, d in expert.descriptors.items() if d.usable]
    print(f"\n{'':16s}" + "  ".join(f"{n:>9s}" for n in ("first", "last", "survival", *names)))
    values = [f"{expert.descriptors[n].value:9.3g}" for n in names]
    print(f"{'expert':16s}" + " " * 33 + "  ".join(values))
    for key, curve in sorted(results.items()):
        last = curve[-1]
        head = [
            f"{curve[0]['closeness']:9.3f}",
            f"{last['closeness']:9.3f}",
            f"{last['survival']:9.2f}",
        ]
        shown = [f"{last['figures'][n] or math.nan:9.3g}" for n in names]
        print(f"{key:16s}" + "  ".join(head + shown))
    by_mode: dict[str, dict[str, float]] = {}
    for key, curve in results.items():
        mode, seed = key.split("-")
        by_mode.setdefault(mode, {})[seed] = curve[-1]["closeness"]
    for mode, last in by_mode.items():
        spread_ = statistics.stdev(last.values()) if len(last) > 1 else math.nan
        print(f"{mode}: mean {statistics.mean(last.values()):.3f}, sd {spread_:.3f}, n {len(last)}")
        both = [s for s in by_mode.get("measured", {}) if s in last and mode != "measured"]
        if len(both) > 1:
            mean, low, high = interval([by_mode["measured"][s] - last[s] for s in both])
            print(
                f"  measured - {mode}: {mean:+.3f}, 90 % interval {low:+.3f} .. {high:+.3f}, {len(both)} pairs"
            )


def main(args: Args) -> None:
    expert, settings = from_json(files.read_json(args.expert)), options()
    results = files.read_json(args.results) if args.results.is_file() else {}
    for seed in args.seeds:
        for mode in args.modes:
            if (key := f"{mode}-{seed}") not in results:
                made = (
                    at_once(seed, expert, args, settings)
                    if mode == "at_once"
                    else study(mode, seed, expert, args, settings, again=mode == "measured")
                )
                results[key] = made
                files.write_json(args.results, json.loads(json.dumps(results)))
    report(results, expert)


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
