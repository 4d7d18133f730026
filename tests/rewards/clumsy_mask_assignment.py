def reward(s):
    r = s.root_vel[:, 0].clone()
    r[s.root_pos[:, 2] < 0.8] = -1.0
    return {"v": r}
# fix: r[s.root_pos[:, 2] < 0.8] = -1.0 -> r = torch.where(s.root_pos[:, 2] < 0.8, -1.0, r)
