"""What the body in a video and a robot do not share, in sentences for a person."""

from __future__ import annotations

from reelward.measures.base import Body
from reelward.measures.describe import tolerance
from reelward.measures.descriptors import SPECS, measurable
from reelward.measures.view import legs
from reelward.motion.record import Motion

MOST_ON_ONE_LEG = 0.02
"""a body whose feet are all in the air for less than this fraction of the time never hops"""


def unshared(expert: Motion, body: Body) -> tuple[str, ...]:
    """One sentence for each thing that keeps the robot from moving as the video shows, or keeps the
    measure from seeing whether it does. Empty where there is no video."""
    if expert.subject == "none":
        return ()
    usable = [name for name, d in expert.descriptors.items() if d.usable]
    able = measurable(tuple(body.keypoints))
    lost = [name for name in usable if name not in able]
    weight = sum(SPECS[name].weight for name in usable)
    kept = sum(SPECS[name].weight for name in usable if name in able)
    seen, own = len(legs(expert.keypoints)), len(body.feet)
    sentences = []
    if seen and own != seen:
        course = "; every leg is asked for the course of one" if own > seen else ""
        sentences.append(f"the video shows {_count(seen)}, {body.name} has {_count(own)}{course}")
    if (air := expert.descriptors["airborne"]).usable and own == 1 and air.value is not None:
        if air.value <= max(MOST_ON_ONE_LEG, tolerance("airborne", air) / 2):
            sentences.append(
                f"the video's feet take turns on the ground; {body.name} can only hop, which the gate "
                "`airborne` refuses"
            )
    if lost:
        share = f"{100 * kept / weight:.0f} % of the weight of closeness is left"
        sentences.append(f"{body.name} has no keypoints for {', '.join(lost)}; {share}")
    if body.free:
        sentences.append(
            f"{body.name} can turn and drift sideways; a video from the side shows neither, so nothing "
            "rewards a straight path"
        )
    return tuple(sentences)


def _count(n: int) -> str:
    return "one leg" if n == 1 else f"{n} legs"
