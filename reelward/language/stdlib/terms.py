"""Reward terms over the robot's fields, one number for each environment, [N].

Rewards run from 0 to 1, costs from -1 to 0. The gait clock's phase counts cycles from 0 to 1. The first foot
(the right one) lands at phase 0 and the others follow at even distances: the left one at 0.5. With
`together=True` all feet land at phase 0. `turns` and `follow` take the landings as numbers instead. `step`, and
a `skew`, need a right and a left leg. Lengths are in m, angles in rad, times in s, speeds in m/s.
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
    """1 in every step: a reward for each step that the episode lasts."""
    return 1.0


def speed(s, target, width):
    """0 to 1: forward speed near `target` (m/s). 1 at the target, 0.5 at `width` m/s from it, with a slope
    at every distance."""
    return long_tail(s.root_vel[:, 0] - target, width)


def upright(s, lean=0.0, width=0.25):
    """0 to 1: pitch of the trunk near `lean` (rad, positive leans forward), 0.37 at `width` rad from it."""
    return kernel(s.root_rpy[:, 1] - lean, width)


def height(s, target, width):
    """0 to 1: height of the root near `target` (m), 0.37 at `width` m from it."""
    return kernel(s.root_pos[:, 2] - target, width)


def hip(s, height, width):
    """0 to 1: height of the hip near `height` (m). 0.5 at `width` m from it, with a slope at every distance."""
    return long_tail(s.keypoint_pos["hip"][:, 2] - height, width)


def straight(s, width=0.3):
    """0 to 1: sideways speed near 0, 0.37 at `width` m/s."""
    return kernel(s.root_vel[:, 1], width)


def heading(s, target=0.0, width=0.3):
    """0 to 1: yaw near `target` (rad), measured the short way round, 0.37 at `width` rad from it."""
    away = s.root_rpy[:, 2] - target
    return kernel(torch.atan2(torch.sin(away), torch.cos(away)), width)


def clock(s, duty, together=False, skew=0.0):
    """0 to 1: each foot stands during the share `duty` (0 to 1) of its cycle and swings in the rest.
    `skew` (share of the cycle) models a limp: the right foot stands for `skew` longer, the left one for `skew`
    less, and the left one lands `skew` cycles later."""
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
    """0 to 1: each foot stands and swings at its own times. `landings` maps a foot's name to [phase at
    which it lands (cycles), time that it stands as a multiple of `duty` (share of the cycle)]."""
    obeyed = 0.0
    for side in s.foot_contact.names:
        landing, share = landings[side]
        stands = stance(s.phase - landing, min(max(duty * share, 0.0), 1.0))
        contact = s.foot_contact[side]
        obeyed += stands * contact + (1 - stands) * (1 - contact)
    return obeyed / len(s.foot_contact.names)


def step(s, length, width):
    """0 to 1: distance of the ankles along x follows the clock: `length` m when a foot lands, 0.37 at
    `width` m from that."""
    apart = s.keypoint_pos["right_ankle"][:, 0] - s.keypoint_pos["left_ankle"][:, 0]
    return kernel(apart - length * gait_clock(s.phase, 0.03), width)


def knee(s, bend, duty, width, stand=0.09, together=False):
    """0 to 1: each knee is bent by `stand` rad while its foot stands, and by `bend` rad more in the middle of
    its swing. `duty` is the share of the cycle that a foot stands; 0.37 at `width` rad from that."""
    sides = s.foot_contact.names
    wanted = 0.0
    for i, side in enumerate(sides):
        swing = bump(s.phase - (0 if together else i / len(sides)), duty + 0.11, 0.14)
        wanted += kernel(flexion(s, side) - stand - bend * swing, width)
    return wanted / len(sides)


def thigh(s, swing, width, offset=0.0, together=False):
    """0 to 1: each thigh swings over a range of `swing` rad around `offset` rad, foremost when its foot
    lands; 0.37 at `width` rad from that."""
    sides = s.foot_contact.names
    wanted = 0.0
    for i, side in enumerate(sides):
        ahead = gait_clock(s.phase, 0 if together else i / len(sides))
        wanted += kernel(thigh_angle(s, side) - offset - swing / 2 * ahead, width)
    return wanted / len(sides)


def follow(s, angle, reach, course, width, skew=0.0):
    """0 to 1: an angle of each leg follows its course over the cycle with a range of `reach` rad; 0.5 at
    `width` rad from it. `angle` is `thigh_angle` or `flexion`; `course` maps a foot's name to [mean (rad), then a
    cosine and a sine for each harmonic, scaled to a range of 1]. `skew` (rad) models a limp: the first leg's range
    is `skew` wider, the second one's as much narrower."""
    sides = s.foot_contact.names
    wanted = 0.0
    for i, side in enumerate(sides):
        share = max(reach + (1 - 2 * i) * skew, 0.0)
        middle = course[side][0]
        wanted += long_tail(angle(s, side) - middle - share * wave(s.phase, course[side]), width)
    return wanted / len(sides)


def thigh_angle(s, side):
    """Angle of the thigh of `side` from the vertical (rad), positive with the knee in front of the hip."""
    thigh_vector = s.keypoint_pos[f"{side}_knee"] - s.keypoint_pos[f"{side}_hip"]
    return torch.atan2(thigh_vector[:, 0], -thigh_vector[:, 2])


def bob(s, height, range, width, lowest=0.03, together=False):
    """0 to 1: the hip rises and falls with each landing (twice a cycle on two legs) around `height` m, over
    `range` m, lowest at phase `lowest` (cycles); 0.37 at `width` m from that."""
    landings = 1 if together else s.foot_contact.shape[1]
    wave = gait_clock(landings * (s.phase - lowest))
    return kernel(s.keypoint_pos["hip"][:, 2] - height + range / 2 * wave, width)


def heave(s, height, reach, course, width):
    """0 to 1: the hip rises and falls around `height` m along its `course`, over `reach` m; 0.5 at `width` m
    from that. `course` is [mean, then a cosine and a sine for each harmonic, scaled to a range of 1]."""
    wanted = height + reach * (course[0] + wave(s.phase, course))
    return long_tail(s.keypoint_pos["hip"][:, 2] - wanted, width)


def clearance(s, target, width):
    """0 to 1: each foot is at least `target` m high in the middle of its swing, 0.37 where `width` m are
    missing."""
    feet = s.foot_height.shape[1]
    cleared = 0.0
    for i in range(feet):
        missing = torch.relu(target - s.foot_height[:, i])
        cleared += kernel(missing * bump(s.phase - i / feet, 0.75, 0.15), width)
    return cleared / feet


def airtime(s, target, width):
    """0 to 1: 1 while no foot has been in the air for longer than `target` s, 0.37 at `width` s more."""
    late = torch.relu(s.air_time - target)
    return kernel(late.max(dim=-1).values, width)


def slip(s):
    """-1 to 0: cost of feet that slide while they touch the ground; -1 when all of them do at 2 m/s or more."""
    sliding = s.foot_vel[:, :, 0:2].norm(dim=-1).clamp(0.0, 2.0) / 2
    return -(s.foot_contact * sliding).mean(dim=-1)


def smooth(s):
    """-1 to 0: cost of actions that change between steps, the mean over actuators of the square, each at
    most 1."""
    return -torch.square(s.action - s.prev_action).clamp(0.0, 1.0).mean(dim=-1)


def effort(s):
    """-1 to 0: cost of large actions, the mean of their squares; -1 with every actuator at its limit."""
    return -torch.square(s.action).clamp(0.0, 1.0).mean(dim=-1)


def energy(s, scale=2400.0):
    """-1 to 0: cost of mechanical power; -1 at `scale` W or more."""
    return -(s.power.abs() / scale).clamp(0.0, 1.0)
