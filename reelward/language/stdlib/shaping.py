"""Building blocks of reward terms: kernels, clocks and angles. Written in the reward language itself."""

import math

import torch


def kernel(error, width):
    """0 to 1: exp(-(error/width)^2). 1 at error 0, 0.37 at one width, nearly 0 beyond two."""
    return torch.exp(-torch.square(error / width))


def long_tail(error, width):
    """0 to 1: 1/(1 + (error/width)^2). 1 at error 0, 0.5 at one width, with a slope at every distance."""
    return 1.0 / (1.0 + torch.square(error / width))


def tolerance(x, low, high, margin):
    """0 to 1: 1 for `x` between `low` and `high`; outside it falls like `kernel` with width `margin`."""
    outside = torch.relu(low - x) + torch.relu(x - high)
    return torch.exp(-torch.square(outside / margin))


def bump(phase, center, width):
    """0 to 1: 1 at phase = `center`, 0.37 at `width` from it, periodic; all in cycles."""
    away = phase - center
    away = away - torch.round(away)
    return torch.exp(-torch.square(away / width))


def gait_clock(phase, offset=0.0):
    """-1 to 1: cosine of the gait cycle. 1 when the foot that lands at phase `offset` (cycles) lands, -1
    half a cycle later."""
    return torch.cos(2 * math.pi * (phase - offset))


def stance(phase, duty, sharpness=8.0):
    """0 to 1: nearly 1 while a foot that lands at phase 0 stands, which is the share `duty` (0 to 1) of the
    cycle, else nearly 0. A larger `sharpness` makes the change more sudden."""
    edge = math.cos(math.pi * duty)
    return torch.sigmoid(sharpness * (gait_clock(phase, duty / 2) - edge))


def wave(phase, course):
    """A course over the cycle without its mean, in the unit of the course, which is [mean, cosine, sine,
    cosine, sine, ...]: a pair for each harmonic."""
    total = 0.0
    for k in range(1, (len(course) + 1) // 2):
        total += course[2 * k - 1] * gait_clock(k * phase) + course[2 * k] * gait_clock(
            k * phase, 0.25
        )
    return total


def angle_between(a, b):
    """Angle from vector a to vector b in the x-z plane (rad, -pi to pi), positive from z towards x."""
    turn = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    along = a[:, 0] * b[:, 0] + a[:, 2] * b[:, 2]
    return torch.atan2(turn, along)


def flexion(s, side):
    """Bend of the knee of `side`, a foot's name (rad): 0 for a straight leg, pi for a folded one."""
    hip = s.keypoint_pos[f"{side}_hip"]
    knee = s.keypoint_pos[f"{side}_knee"]
    ankle = s.keypoint_pos[f"{side}_ankle"]
    return torch.abs(angle_between(hip - knee, knee - ankle))
