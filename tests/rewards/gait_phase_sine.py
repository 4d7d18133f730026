import math
import torch
PERIOD = 1.1

def reward(s):
    angle = 2.0 * math.pi * s.phase
    right = s.joint_pos["right_hip"] - 0.4 * torch.sin(angle)
    left = s.joint_pos["left_hip"] + 0.4 * torch.sin(angle)
    return {"swing": torch.exp(-(right**2 + left**2) / 0.2), "speed": torch.exp(-(s.root_vel[:, 0] - 1.0).abs())}
