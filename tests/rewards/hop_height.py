# robot: hopper
"""Hop high and stay upright."""
import torch

def reward(s):
    height = s.root_pos[:, 2]
    bonus = torch.clamp(height - 1.1, min=0.0, max=0.5) * 2.0
    upright = torch.exp(-torch.abs(s.root_rpy[:, 1]) / 0.2)
    return {"height": bonus, "upright": upright, "smooth": 0.1 * smooth(s)}
