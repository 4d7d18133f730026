import torch

def reward(s):
    head = s.keypoint_vel["head"]
    bounce = head[:, 2].square()
    swayed = (head[:, 0] - s.root_vel[:, 0]).square()
    return {"steady": torch.exp(-(bounce + swayed)), "go": long_tail(s.root_vel[:, 0] - 1.2, 0.5)}
