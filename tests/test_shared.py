"""What the body in a video and a robot do not share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reelward.measures.descriptors import DESCRIPTORS
from reelward.measures.reference import NO_EXPERT
from reelward.measures.shared import unshared
from reelward.motion.record import Descriptor, Motion
from reelward.sim.robot import load_robot

PERSON = tuple(
    f"{side}_{point}"
    for side in ("right", "left")
    for point in ("hip", "knee", "ankle", "heel", "toe")
) + ("shoulder",)


def walker(airborne: float = 0.0) -> Motion:
    """A person of whom every figure is known."""
    figures = {d.name: Descriptor(0.5, d.unit, 0.01, usable=True) for d in DESCRIPTORS}
    figures["airborne"] = Descriptor(airborne, "", 0.01, usable=True)
    return replace(NO_EXPERT, subject="person", keypoints=PERSON, descriptors=figures)


@pytest.mark.parametrize("robot", ["biped", "walker2d"])
def test_two_planar_legs_share_everything_with_a_person(robot: str) -> None:
    assert unshared(walker(), load_robot(robot)) == ()


@pytest.mark.parametrize(
    ("robot", "legs", "sideways"),
    [("hopper", "one leg", False), ("ant", "4 legs", True), ("humanoid", "", True)],
)
def test_other_legs_and_a_free_body_are_named(robot: str, legs: str, sideways: bool) -> None:
    text = "\n".join(unshared(walker(), load_robot(robot)))
    assert (f"the video shows 2 legs, {robot} has {legs}" in text) == bool(legs)
    assert ("drift sideways" in text) == sideways


def test_a_hopper_is_told_that_a_walk_has_no_flight() -> None:
    assert "can only hop" in "\n".join(unshared(walker(0.0), load_robot("hopper")))
    assert "can only hop" not in "\n".join(unshared(walker(0.3), load_robot("hopper")))


def test_what_the_robot_has_no_keypoints_for_is_named_with_the_weight_that_is_left() -> None:
    # One leg gives neither step (2), lag, nor the three skews (1 each) of a total of 16.
    text = "\n".join(unshared(walker(), load_robot("hopper")))
    assert "no keypoints for step, lag, duty_skew, knee_skew, thigh_skew" in text
    assert "62 % of the weight" in text


def test_without_a_video_there_is_nothing_to_share() -> None:
    assert unshared(NO_EXPERT, load_robot("hopper")) == ()
