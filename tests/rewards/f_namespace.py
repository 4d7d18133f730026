import torch
import torch.nn.functional as F

def reward(s):
    deviation = F.relu(torch.abs(s.root_rpy[:, 1]) - 0.1)
    return {"lean": -F.softplus(5.0 * deviation), "go": torch.sigmoid(4.0 * (s.root_vel[:, 0] - 0.8))}
