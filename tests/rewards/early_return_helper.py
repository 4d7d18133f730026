def height_reward(h):
    if h < 0.7:
        return 0.0 * h
    return torch.clamp(h - 0.7, 0.0, 0.6) / 0.6

def reward(s):
    return {"height": height_reward(s.root_pos[:, 2]), "run": s.root_vel[:, 0]}
