import torch

def reward(s):
    h = s.root_pos[:, 2]
    if h < 0.8:
        posture = -1.0
    elif h < 1.1:
        posture = 0.0
    else:
        posture = 1.0
    return {"posture": posture, "run": s.root_vel[:, 0]}
