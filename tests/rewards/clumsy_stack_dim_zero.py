import torch

def reward(s):
    parts = torch.stack([s.root_vel[:, 0], s.up[:, 2]])
    return {"mean": parts.mean(dim=0)}
# fix: s.up[:, 2]]) -> s.up[:, 2]], dim=-1)
# fix: dim=0 -> dim=-1
