"""Reward terms over the robot's fields, each [N]: rewards run from 0 to 1, costs from -1 to 0.

Phase 0 is the landing of the right foot; the left leg follows half a cycle later. Robots with one leg
use the same terms: what is about two legs asks for both.
"""

import math

import torch

from reelward.language.stdlib.shaping import bump, flexion, gait_clock, kernel, long_tail, stance


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


def straight(s, width=0.3):
    """No drift to the side: sideways speed near 0 m/s."""
    return kernel(s.root_vel[:, 1], width)


def heading(s, target=0.0, width=0.3):
    """Yaw near `target` rad, the short way round."""
    away = s.root_rpy[:, 2] - target
    return kernel(torch.atan2(torch.sin(away), torch.cos(away)), width)


def clock(s, duty):
    """Each foot stands for the share `duty` of its cycle and swings for the rest."""
    right = stance(s.phase, duty)
    left = stance(s.phase - 0.5, duty)
    on_right = s.foot_contact["right"]
    on_left = s.foot_contact["left"]
    right_obeys = right * on_right + (1 - right) * (1 - on_right)
    left_obeys = left * on_left + (1 - left) * (1 - on_left)
    return (right_obeys + left_obeys) / 2


def step(s, length, width):
    """Distance of the ankles along x, as the clock wants it: `length` m when a foot lands."""
    apart = s.keypoint_pos["right_ankle"][:, 0] - s.keypoint_pos["left_ankle"][:, 0]
    return kernel(apart - length * gait_clock(s.phase, 0.03), width)


def knee(s, flexion_range, duty, width):
    """Each knee bends by `flexion_range` rad in the middle of its swing and is nearly straight otherwise."""
    peak = duty + 0.11
    right = flexion(s, "right") - 0.09 - flexion_range * bump(s.phase, peak, 0.14)
    left = flexion(s, "left") - 0.09 - flexion_range * bump(s.phase - 0.5, peak, 0.14)
    return (kernel(right, width) + kernel(left, width)) / 2


def thigh(s, swing, width, offset=0.0):
    """Each thigh swings by `swing` rad (range) about `offset` rad, in front when its foot lands."""
    right = thigh_angle(s, "right") - offset - swing / 2 * gait_clock(s.phase)
    left = thigh_angle(s, "left") - offset - swing / 2 * gait_clock(s.phase, 0.5)
    return (kernel(right, width) + kernel(left, width)) / 2


def thigh_angle(s, side):
    """Angle of the thigh of `side` from the vertical, rad; positive with the knee in front."""
    thigh_vector = s.keypoint_pos[f"{side}_knee"] - s.keypoint_pos[f"{side}_hip"]
    return torch.atan2(thigh_vector[:, 0], -thigh_vector[:, 2])


def bob(s, height, range, width):
    """The hip rises and falls twice a cycle: `range` m from lowest to highest about `height` m."""
    wave = torch.cos(4 * math.pi * (s.phase - 0.03))
    return kernel(s.keypoint_pos["hip"][:, 2] - height + range / 2 * wave, width)


def clearance(s, target, width):
    """Each foot is `target` m high in the middle of its swing."""
    lift = [
        bump(s.phase, 0.75, 0.15) * torch.relu(target - s.foot_height["right"]),
        bump(s.phase, 0.25, 0.15) * torch.relu(target - s.foot_height["left"]),
    ]
    return kernel(sum(lift), width)


def airtime(s, target, width):
    """Feet in the air have been there for about `target` s or less: swings neither linger nor patter."""
    late = torch.relu(s.air_time - target)
    return kernel(late.max(dim=-1).values, width)


def slip(s):
    """Cost of feet that slide while they stand; -1 when all do at 2 m/s or more."""
    sliding = s.foot_vel[:, :, 0:2].norm(dim=-1).clamp(0.0, 2.0) / 2
    return -(s.foot_contact * sliding).mean(dim=-1)


def smooth(s):
    """Cost of actions that change from step to step; -1 for full reversals of every motor."""
    return -torch.square((s.action - s.prev_action) / 2).clamp(0.0, 1.0).mean(dim=-1)


def effort(s):
    """Cost of large actions; -1 with every motor at its limit."""
    return -torch.square(s.action).clamp(0.0, 1.0).mean(dim=-1)


def energy(s, scale=400.0):
    """Cost of mechanical power; -1 at `scale` W or more."""
    return -(s.power.abs() / scale).clamp(0.0, 1.0)
