def reward(s):
    return {"v": 1e6 * s.root_vel[:, 0]}
# fix: 1e6 * s.root_vel[:, 0] -> torch.clamp(1e6 * s.root_vel[:, 0], -1.0, 1.0)
