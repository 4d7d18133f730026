"""A study's folders as the stages before the report leave them, and the report as a browser reads it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from conftest import ROOT
from skeleton import LEG, walker

from reelward.critics import measured
from reelward.critics.base import Scene, View, weighed
from reelward.measures.base import Measure
from reelward.measures.describe import robot_motion
from reelward.measures.gait import Gait
from reelward.motion.record import Motion, from_json, to_json
from reelward.motion.track import Track, pack
from reelward.motion.video import encode_jpeg, encode_mp4
from reelward.policy import About, Policy
from reelward.records import (
    Candidates,
    CheckedCandidate,
    Criteria,
    Feedback,
    Judgement,
    ModelCalls,
    ModelSettings,
    Proposal,
    Provenance,
    Stats,
    VideoSource,
)
from reelward.runtime import files
from reelward.sim.spaces import Box, Vector
from stages import report, select

GREY = np.full((32, 48, 3), 99, np.uint8)
REWARD = '''"""Walk."""

PERIOD = 1.2

TARGET = {{"speed": {speed}}}
WEIGHT = {{"speed": 1.0}}


def reward(s):
    return {{{terms}}}
'''
VOID = {"meta", "img", "br", "input", "link", "rect", "path", "circle", "polyline"}


class Page(HTMLParser):
    """What a browser makes of the page: elements with their attributes, text by element."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.folder = path.parent
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.text += " "
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif "style" not in self.open:
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    @property
    def films(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])["films"]

    @property
    def references(self) -> list[str]:
        return [a[k] or "" for _, a in self.elements for k in ("src", "href") if k in a]


class Study:
    """Folders as the stages before the report leave them: films and tracks are invented, critique and
    selection are the real ones."""

    def __init__(
        self, root: Path, parents: dict[str, str] | None = None, measure: Measure | None = None
    ) -> None:
        self.root, self.parents = root, parents or {}
        self.measure = measure or Gait()
        self.data, self.rewards = root / "data", root / "rewards"
        self.author: ModelCalls | None = None
        self.critic: ModelCalls | None = None
        if parents:
            return
        track = walker(seconds=5, fps=30)
        self.expert(track, person_motion(track))
        seed, iteration = self.rewards / "seed", self.data / "iterations/seed"
        files.write_record(seed / "feedback.json", Feedback())
        files.write_text(seed / "history.csv", "iteration\n")
        files.write_text(seed / "selected.py", REWARD.format(speed=1.0, terms='"alive": alive(s)'))
        with files.new_folder(iteration / "best") as best:
            short = walker(seconds=0.4)
            self.rollout(best, short, robot_motion(short.cut(0, 0), "biped", LEG, 0.04))
            policy(0).save(best / "policy.pt")
        self.film(iteration / "films/best.mp4", short)

    def expert(self, track: Track, motion: Motion, **provenance: Any) -> None:
        at = self.data / "expert"
        self.rollout(at / "keyframes", track, motion)
        self.film(at / "video.mp4", track)
        tiles = [{"tile": 1, "frame": 3, "time_s": 0.1, "phase": None, "flipped": False}]
        files.write_json(at / "keyframes/tiles.json", tiles)
        known = {
            "source": "clip.mp4", "title": None, "author": None, "licence": "CC0-1.0",
            "source_sha256": "1" * 64, "sha256": "0" * 64, "section_s": (0.0, 5.0),
            "crop_px": (0, 0, 48, 32), "frames": 50, "seconds": 5.0,
            "width": 48, "height": 32, "fps": 10.0,
        }  # fmt: skip
        video = VideoSource(**known | provenance)
        files.write_record(at / "provenance.json", Provenance(video=video))
        files.write_record(at / "criteria.json", Criteria(description="", criteria=("speed",)))

    def rollout(self, at: Path, track: Track, motion: Motion) -> None:
        at.mkdir(parents=True, exist_ok=True)
        (at / "sheet.jpg").write_bytes(encode_jpeg(GREY))
        (at / "track.npz").write_bytes(pack(track))
        files.write_json(at / "motion.json", to_json(motion))
        lived = motion.survival * track.seconds
        stats = Stats(episodes=1, seconds=track.seconds, lived_s=(lived,), term_means={})
        files.write_record(at / "stats.json", stats)

    def film(self, path: Path, track: Track) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_mp4([GREY] * max(1, round(10 * track.seconds)), 10.0))

    def iteration(self, parent: str, candidates: dict[str, dict[str, Any]]) -> str:
        """A candidate: `speed` (m/s) that it walks at, or `refused`, or `failed` with a reason; and
        what a critic `said` of it, with its `verdicts`."""
        name = f"iter-{len(self.parents):02d}"
        self.parents[name] = parent
        at, rewards = self.data / "iterations" / name, self.rewards / name
        index = Candidates(candidates=tuple(
            CheckedCandidate(
                name=key, start="scratch", number=i, note=c.get("note", "moves"),
                file=None if "refused" in c else f"{key}.py",
                error=c.get("refused") or c.get("failed"), period=1.2,
            )
            for i, (key, c) in enumerate(candidates.items())
        ))  # fmt: skip
        with files.new_folder(rewards / "candidates") as out:
            files.write_record(out / "index.json", index)
            for key, c in candidates.items():
                terms = c.get("terms", '"alive": alive(s), "speed": speed(s, 1.0, 0.5)')
                text = REWARD.format(speed=c.get("speed"), terms=terms)
                files.write_text(out / f"{key}.py", text)
        with files.new_folder(at / "policies") as out:
            files.write_record(out / "index.json", index)
            for key in candidates:
                policy(3000).save(out / f"{key}.pt")
                rows = ["1000,nan,nan,0.1,0.5", "2000,10,50,0.2,0.5", "3000,30,90,0.4,0.5"]
                head = "env_steps,return,episode_length,term/speed,std"
                files.write_text(out / f"{key}.csv", "\n".join([head, *rows, ""]))
        with files.new_folder(at / "rollouts") as out:
            files.write_record(out / "index.json", index)
            for key, c in candidates.items():
                if "speed" in c:
                    track = walker(seconds=c.get("seconds", 4), speed=c["speed"])
                    motion = c.get("motion") or robot_motion(track, "biped", LEG, 1.0)
                    self.rollout(out / key, track, motion)
                    self.film(at / f"films/{key}.mp4", track)
        kind = "llm" if self.author else "measured"
        proposal = Proposal(author=kind, candidates=(), model_calls=self.author)
        files.write_record(at / "proposal.json", proposal)
        files.write_record(at / "critique.json", self.judgement(name, candidates))
        select.main(select.Args(
            iteration=name, critique=at / "critique.json", rollouts=at / "rollouts",
            policies=at / "policies", candidates=rewards / "candidates",
            parent_best=self.data / "iterations" / parent / "best",
            parent_rewards=self.rewards / parent, selected_out=rewards / "selected.py",
            feedback_out=rewards / "feedback.json", history_out=rewards / "history.csv",
            best_out=at / "best", min_gain=0.0, measure=ROOT / "params.yaml",
        ))  # fmt: skip
        return name

    def judgement(self, name: str, candidates: dict[str, dict[str, Any]]) -> Judgement:
        iterations = self.data / "iterations"
        scene = Scene(
            measure=self.measure,
            expert=View(motion_in(self.data / "expert/keyframes")),
            parent=View(motion_in(iterations / self.parents[name] / "best")),
            learners={
                key: View(motion_in(iterations / name / "rollouts" / key))
                for key, c in candidates.items()
                if "speed" in c
            },
            criteria=Criteria(description="", criteria=()),
            task="walk",
            iteration=name,
            noise=0.03,
            model=ModelSettings(name=None, temperature=None, max_tokens=1),
            words=Path(),
        )
        measures = measured.critique(scene)
        said = {
            key: weighed(critique, candidates[key]["said"], candidates[key]["verdicts"])
            if "said" in candidates[key]
            else critique
            for key, critique in measures.candidates.items()
        }
        kind = "vlm" if self.critic else "measured"
        update = {"critic": kind, "model_calls": self.critic, "candidates": said}
        return measures.model_copy(update=update)

    def report(self, out: str = "report", task: str = "walk") -> Page:
        lines = [f"  {name}: {{parent: {parent}}}" for name, parent in self.parents.items()]
        text = "\n".join(["iterations:", *lines, f"last: {list(self.parents)[-1]}", ""])
        files.write_text(self.root / "loop.yaml", text)
        report.main(report.Args(
            self.data / "expert", self.data / "iterations", self.rewards, self.root / "loop.yaml",
            self.root / out, task, "biped",
        ))  # fmt: skip
        page = Page(self.root / out / "index.html")
        for name in page.references:
            assert not re.match(r"[a-z]+:|/", name), "only what lies beside the page"
            assert (page.folder / name).is_file(), name
        return page


def motion_in(folder: Path) -> Motion:
    return from_json(files.read_json(folder / "motion.json"))


def policy(env_steps: int) -> Policy:
    return Policy(About(Vector(2), Box(1), 2, "tanh", "biped", env_steps=env_steps))


def finished_study(root: Path) -> Study:
    """Three iterations: one candidate selected and one refused; one that failed to train and one
    that was worse; one selected."""
    study = Study(root)
    study.iteration("seed", {"c0": {"speed": 0.8}, "c1": {"refused": "E12 line 3: no such field"}})
    study.iteration("iter-00", {"c0": {"failed": "not a number"}, "c1": {"speed": 0.5}})
    better = {
        "speed": 1.15,
        "note": "faster",
        "terms": '"speed": speed(s, 1.0, 0.5), "bob": bob(s)',
    }
    study.iteration("iter-01", {"c0": better})
    return study


def person_motion(track: Track, **changes: Any) -> Motion:
    return replace(robot_motion(track, "x", LEG, 1.0), subject="person", **changes)
