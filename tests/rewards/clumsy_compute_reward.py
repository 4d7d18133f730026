import torch

def compute_reward(s):
    return {"v": torch.tanh(s.root_vel[:, 0])}
