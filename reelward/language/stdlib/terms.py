"""Reward terms over the robot's fields, each [N]: rewards run from 0 to 1, costs from -1 to 0.

Phase 0 is the landing of the first foot (the right one); the others follow evenly, so the left one half
a cycle later, or land with it where `together` is said, or as they do in `turns` and `follow`. `step`, and
a `skew`, ask for a right and a left leg.
"""

import torch

from reelward.language.stdlib.shaping import (
    bump,
    flexion,
    gait_clock,
    kernel,
    long_tail,
    stance,
    wave,
)


def alive(s):
    """1 in every step that the episode lasts."""
    return 1.0


def speed(s, target, width):
    """Forward speed near `target` m/s: 0.5 at `width` m/s from it, with a slope however far away."""
    return long_tail(s.root_vel[:, 0] - target, width)


def upright(s, lean=0.0, width=0.25):
    """Trunk pitch near `lean` rad (positive leans forward)."""
    return kernel(s.root_rpy[:, 1] - lean, width)


def height(s, target, width):
    """Height of the root near `target` m."""
    return kernel(s.root_pos[:, 2] - target, width)


def hip(s, height, width):
    """Height of the hip near `height` m: 0.5 at `width` m from it, with a slope however far away."""
    return long_tail(s.keypoint_pos["hip"][:, 2] - height, width)


def straight(s, width=0.3):
    """No drift to the side: sideways speed near 0 m/s."""
    return kernel(s.root_vel[:, 1], width)


def heading(s, target=0.0, width=0.3):
    """Yaw near `target` rad, the short way round."""
    away = s.root_rpy[:, 2] - target
    return kernel(torch.atan2(torch.sin(away), torch.cos(away)), width)


def clock(s, duty, together=False, skew=0.0):
    """Each foot stands for the share `duty` of its cycle and swings for the rest. Who limps stands on
    the right foot for `skew` more, on the left one for as much less and lands as much later with it."""
    feet = s.foot_contact.shape[1]
    obeyed = 0.0
    for i in range(feet):
        landing = 0 if together else i / feet
        share = min(max(duty + (1 - 2 * i) * skew, 0.0), 1.0)
        stands = stance(s.phase - (landing + i * skew), share)
        contact = s.foot_contact[:, i]
        obeyed += stands * contact + (1 - stands) * (1 - contact)
    return obeyed / feet


def turns(s, duty, landings):
    """Each foot has its own `landings`: [phase of the cycle, share of it that it stands in units of
    `duty`]."""
    obeyed = 0.0
    for side in s.foot_contact.names:
        landing, share = landings[side]
        stands = stance(s.phase - landing, min(max(duty * share, 0.0), 1.0))
        contact = s.foot_contact[side]
        obeyed += stands * contact + (1 - stands) * (1 - contact)
    return obeyed / len(s.foot_contact.names)


def step(s, length, width):
    """Distance of the ankles along x, as the clock wants it: `length` m when a foot lands."""
    apart = s.keypoint_pos["right_ankle"][:, 0] - s.keypoint_pos["left_ankle"][:, 0]
    return kernel(apart - length * gait_clock(s.phase, 0.03), width)


def knee(s, bend, duty, width, stand=0.09, together=False):
    """Each knee is bent by `stand` rad while its foot stands, and by `bend` more in mid-swing, as
    people walk."""
    sides = s.foot_contact.names
    wanted = 0.0
    for i, side in enumerate(sides):
        swing = bump(s.phase - (0 if together else i / len(sides)), duty + 0.11, 0.14)
        wanted += kernel(flexion(s, side) - stand - bend * swing, width)
    return wanted / len(sides)


def thigh(s, swing, width, offset=0.0, together=False):
    """Each thigh swings by `swing` rad (range) about `offset` rad, in front when its foot lands."""
    sides = s.foot_contact.names
    wanted = 0.0
    for i, side in enumerate(sides):
        ahead = gait_clock(s.phase, 0 if together else i / len(sides))
        wanted += kernel(thigh_angle(s, side) - offset - swing / 2 * ahead, width)
    return wanted / len(sides)


def follow(s, angle, reach, course, width, skew=0.0):
    """An angle of each leg (`thigh_angle`, `flexion`) follows its `course`: [mean (rad), cosine and sine
    of each harmonic, of range 1], with a range of `reach` rad: 0.5 at `width` rad from it. Of who limps
    the first leg's is `skew` wider, the other's as much narrower."""
    sides = s.foot_contact.names
    wanted = 0.0
    for i, side in enumerate(sides):
        share = max(reach + (1 - 2 * i) * skew, 0.0)
        middle = course[side][0]
        wanted += long_tail(angle(s, side) - middle - share * wave(s.phase, course[side]), width)
    return wanted / len(sides)


def thigh_angle(s, side):
    """Angle of the thigh of `side` from the vertical, rad; positive with the knee in front."""
    thigh_vector = s.keypoint_pos[f"{side}_knee"] - s.keypoint_pos[f"{side}_hip"]
    return torch.atan2(thigh_vector[:, 0], -thigh_vector[:, 2])


def bob(s, height, range, width, lowest=0.03, together=False):
    """The hip rises and falls with every landing, twice a cycle on two legs: `range` m from lowest
    (at phase `lowest`) to highest, about `height` m."""
    landings = 1 if together else s.foot_contact.shape[1]
    wave = gait_clock(landings * (s.phase - lowest))
    return kernel(s.keypoint_pos["hip"][:, 2] - height + range / 2 * wave, width)


def heave(s, height, reach, course, width):
    """The hip rises and falls along its `course`, [mean, cosine and sine of each harmonic, of range 1],
    by `reach` m about the `height` m at which it is carried: 0.5 at `width` m from it."""
    wanted = height + reach * (course[0] + wave(s.phase, course))
    return long_tail(s.keypoint_pos["hip"][:, 2] - wanted, width)


def clearance(s, target, width):
    """Each foot is `target` m high, or higher, in the middle of its swing."""
    feet = s.foot_height.shape[1]
    cleared = 0.0
    for i in range(feet):
        missing = torch.relu(target - s.foot_height[:, i])
        cleared += kernel(missing * bump(s.phase - i / feet, 0.75, 0.15), width)
    return cleared / feet


def airtime(s, target, width):
    """Feet in the air have been there for about `target` s or less: swings neither linger nor patter."""
    late = torch.relu(s.air_time - target)
    return kernel(late.max(dim=-1).values, width)


def slip(s):
    """Cost of feet that slide while they stand; -1 when all do at 2 m/s or more."""
    sliding = s.foot_vel[:, :, 0:2].norm(dim=-1).clamp(0.0, 2.0) / 2
    return -(s.foot_contact * sliding).mean(dim=-1)


def smooth(s):
    """Cost of actions that change from step to step: mean square, at most 1 a motor."""
    return -torch.square(s.action - s.prev_action).clamp(0.0, 1.0).mean(dim=-1)


def effort(s):
    """Cost of large actions; -1 with every motor at its limit."""
    return -torch.square(s.action).clamp(0.0, 1.0).mean(dim=-1)


def energy(s, scale=2400.0):
    """Cost of mechanical power; -1 at `scale` W or more."""
    return -(s.power.abs() / scale).clamp(0.0, 1.0)
