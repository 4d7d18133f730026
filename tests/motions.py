"""Motions whose figures are given by hand, and what an author is given of them."""

from __future__ import annotations

from reelward.authors.base import Brief
from reelward.measures.descriptors import UNITS
from reelward.motion.course import Course
from reelward.motion.record import Descriptor, Motion
from reelward.records import Criteria, Feedback, ModelSettings
from reelward.sim.robot import load_robot

BIPED = load_robot("biped")
NO_MODEL = ModelSettings(name=None, temperature=None, max_tokens=1000)
WALK = {
    "speed": 0.43, "cadence": 0.245, "step": 0.8, "bob": 0.07, "knee": 57.0, "thigh": 50.0,
    "duty": 0.6, "airborne": 0.0, "lag": 0.5,
}  # fmt: skip


HIP = (0.0, 0.0, 0.0, -0.035, *[0.0] * 3)
LEG = Course(0.0, 0.6, (10.0, 25.0, *[0.0] * 5), (30.0, -20.0, *[0.0] * 5), HIP)


def motion(survival: float = 1.0, **figures: float | None) -> Motion:
    """A motion with the walk's figures, some replaced; lean and sway are not usable. One leg is seen."""
    values = WALK | figures
    descriptors = {
        name: Descriptor(values.get(name), unit, 0.01, values.get(name) is not None)
        for name, unit in UNITS.items()
    }
    return Motion(
        "robot:biped", 50.0, 7.5, 1.0, 1.01, None, descriptors, tuple(BIPED.keypoints),
        courses={"right": LEG}, survival=survival,
    )  # fmt: skip


EXPERT = motion()
STANDS = motion(0.04, **{name: None for name in WALK})


def brief(
    expert: Motion = EXPERT, parent: str = "", feedback: Feedback | None = None, **more: object
) -> Brief:
    """What an author is given, by default before the first iteration."""
    given = {
        "robot": BIPED, "expert": expert, "parent": parent, "feedback": feedback or Feedback(),
        "criteria": Criteria(description="", criteria=()), "task": "walk", "count": 3,
        "native": {}, "model": NO_MODEL,
    }  # fmt: skip
    return Brief(**given | more)
