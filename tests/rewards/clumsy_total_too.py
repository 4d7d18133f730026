import torch

def compute_bonus(vel, target):
    return torch.exp(-torch.abs(vel - target))

def reward(s):
    bonus = compute_bonus(s.root_vel[:, 0], 1.2)
    cost = 0.01 * torch.sum(s.action ** 2, dim=-1)
    total = bonus - cost
    return total, {"bonus": bonus, "cost": -cost}
