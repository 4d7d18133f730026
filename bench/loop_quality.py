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
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
import yaml
from common import train

from reelward.authors import draft
from reelward.authors import measured as author
from reelward.critics import measured as critic
from reelward.language import compile_reward
from reelward.measures.gait import Gait, tolerance
from reelward.motion.record import Motion, from_json
from reelward.policy import Policy
from reelward.rollout import run
from reelward.runtime import files
from reelward.runtime.workers import spread
from reelward.sim.robot import Robot, load_robot
from reelward.training import PRELOAD
from stages import select

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


def random_moves(
    robot: Robot,
    expert: Motion,
    made: list[draft.Candidate],
    parent: str,
    rng: np.random.Generator,
) -> list[draft.Candidate]:
    """The author's candidates with the same starts, but targets and weights moved at random: as far
    as the author may, in any direction, and half of the missing terms switched on."""
    base, assumed = draft.begin(expert, robot)
    before = draft.read(compile_reward(parent, robot.fields), base)
    assert before is not None
    moved = []
    for c in made:
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
        moved.append(replace(c, source=text, note="random"))
    return moved


def trained(
    made: list[draft.Candidate], best: Path | None, seed: int, folder: Path, args: Args, work: dict
) -> dict[str, tuple[Path, Motion]]:
    """Train and measure candidates. Returns each one's policy and motion."""
    robot = load_robot(args.robot)
    settings = train.Args(
        rewards=folder,
        parent=best or folder,
        out=folder,
        robot=args.robot,
        native=Path(__file__).parents[1] / "params.yaml",
        seed=1000 * seed,
        **work,
    )
    for c in made:
        (folder / f"{c.name}.py").write_text(c.source)
    index = [
        {"name": c.name, "file": f"{c.name}.py", "start": c.start, "seed": c.seed} for c in made
    ]
    todo = [
        replace(j, checkpoints=args.scratch / j.checkpoints.name)
        for j in train.plan(settings, index, folder)
    ]
    failed = spread(
        partial(train.learn_alone, settings), {j.name: j for j in todo}, args.processes,
        lambda name, steps: None, preload=PRELOAD,
    )  # fmt: skip
    assert not failed, failed
    found = {}
    for c in made:
        reward = compile_reward(c.source, robot.fields)
        policy = Policy.load(folder / f"{c.name}.pt")
        episodes = run(robot, policy, reward, episodes=4, seconds=10.0, seed=seed)
        found[c.name] = folder / f"{c.name}.pt", Gait().of(robot, episodes)
    return found


def loop(
    mode: str, seed: int, expert: Motion, args: Args, work: dict,
    look: Look = lambda *_: {}, again: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """One study. Returns the selected of each iteration: closeness, figures, what was tried, and
    what `look` says of its policy (at first also of the goal's alone); where asked for, the last
    reward trained from scratch `again`."""
    robot, rng = load_robot(args.robot), np.random.default_rng(seed)
    none = {n: replace(d, value=None, usable=False) for n, d in expert.descriptors.items()}
    unmoved = replace(expert, descriptors=none, survival=0.0, keypoints=tuple(robot.keypoints))
    motion, seen = unmoved, {}
    feedback: dict[str, Any] = {}
    source, best, curve = "", None, []
    with tempfile.TemporaryDirectory() as scratch:
        for k in range(args.iterations + 1):
            folder = Path(scratch) / f"iter-{k:02d}"
            folder.mkdir()
            parent = compile_reward(source, robot.fields) if source else None
            made = author.propose(
                robot, expert, parent, feedback, task="walk", count=args.candidates
            )
            if mode in ("random", "blind") and source:
                made = random_moves(robot, expert, made, source, rng)
            blind = mode == "blind" and bool(source)
            if blind:
                made = [made[rng.integers(len(made))]]
            if mode == "warm_off":
                made = [replace(c, start="scratch") for c in made]
            reached = trained(made, best, seed, folder, args, work)
            rival = unmoved if mode == "keep_off" else motion
            critique = {
                "parent": critic.critique(expert, rival, rival, 0.03),
                "candidates": {
                    n: critic.critique(expert, m, rival, 0.03) for n, (_, m) in reached.items()
                },
            }
            chosen = made[0].name if blind else select.choose(critique, 0.0)
            index = []
            for c in made:
                r = compile_reward(c.source, robot.fields)
                index.append(
                    {"name": c.name, "start": c.start, "note": c.note, "period": r.period}
                    | {"targets": r.constants["TARGET"], "weights": r.constants["WEIGHT"]}
                )
            judged = critique["candidates"][chosen] if chosen else critique["parent"]
            before = feedback
            feedback = {
                "iteration_number": k,
                "selected": f"iter-{k:02d}/{chosen}" if chosen else before.get("selected", ""),
                "region": select.region(before.get("region", 1.0), bool(chosen) or not before),
                "descriptors": {d: row["learner"] for d, row in judged["differences"].items()},
                "trials": select.trials(
                    before.get("trials", []), f"iter-{k:02d}", before.get("selected", ""),
                    index, critique,
                ),
            }  # fmt: skip
            if chosen:
                path, motion = reached[chosen]
                best = folder / "best"
                with files.new_folder(best) as new:
                    (new / "policy.pt").write_bytes(path.read_bytes())
                source = next(c.source for c in made if c.name == chosen)
                seen = look(path, source)
            if not k:
                goal = look(reached["c0"][0], made[0].source) if made else {}
                seen = seen or goal
            row = {
                "iteration": k, "chosen": chosen, "closeness": judged["closeness"],
                "eligible": judged["eligible"], "survival": motion.survival,
                "figures": {n: d.value for n, d in motion.descriptors.items()},
                "tried": {n: c["closeness"] for n, c in critique["candidates"].items()},
                "notes": {c.name: c.note for c in made},
            } | seen  # fmt: skip
            curve.append(row if k else row | {"goal": goal})
            print(
                f"{mode} seed {seed} iteration {k}: {row['closeness']:.3f} {chosen} {row['tried']}",
                flush=True,
            )
        if again and source:
            last = draft.Candidate("again", source, "scratch", 900, "")
            (Path(scratch) / "again").mkdir()
            reached = trained([last], None, seed, Path(scratch) / "again", args, work)
            final = critic.critique(expert, reached["again"][1], motion, 0.03)
            curve[-1]["final_reward_from_scratch"] = final["closeness"]
            curve[-1]["reward"] = source
    return curve


def at_once(seed: int, expert: Motion, args: Args, work: dict) -> list[dict[str, Any]]:
    """The whole library at weight 1, as many env-steps as the lineage of a loop's last policy."""
    robot = load_robot(args.robot)
    base, assumed = draft.begin(expert, robot)
    whole = reduce(draft.Draft.with_term, draft.shapes(robot, base), base)
    text = draft.source(whole, robot, "All at once.", assumed)
    steps = work["env_steps"] + args.iterations * work["warm_env_steps"]
    with tempfile.TemporaryDirectory() as scratch:
        c = draft.Candidate("all", text, "scratch", 1, "")
        _, motion = trained([c], None, seed, Path(scratch), args, work | {"env_steps": steps})[
            "all"
        ]
    said = critic.critique(expert, motion, motion, 0.03)
    figures = {n: d.value for n, d in motion.descriptors.items()}
    return [{"iteration": 0, "closeness": said["closeness"], "eligible": said["eligible"],
             "survival": motion.survival, "figures": figures}]  # fmt: skip


def interval(differences: list[float]) -> tuple[float, float, float]:
    """Mean and its 90 % interval (Student's t)."""
    quantile = {
        2: 6.314,
        3: 2.920,
        4: 2.353,
        5: 2.132,
        6: 2.015,
        7: 1.943,
        8: 1.895,
        9: 1.860,
        10: 1.833,
    }
    n, mean = len(differences), statistics.mean(differences)
    half = quantile[n] * statistics.stdev(differences) / math.sqrt(n) if n > 1 else math.nan
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
    expert, work = from_json(files.read_json(args.expert)), options()
    results = files.read_json(args.results) if args.results.is_file() else {}
    for seed in args.seeds:
        for mode in args.modes:
            if (key := f"{mode}-{seed}") not in results:
                made = (
                    at_once(seed, expert, args, work)
                    if mode == "at_once"
                    else loop(mode, seed, expert, args, work, again=mode == "measured")
                )
                results[key] = made
                files.write_json(args.results, json.loads(json.dumps(results)))
    report(results, expert)


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
