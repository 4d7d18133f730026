def reward(s):
    v = s.root_vel[:, 0]
    v = (v - v.mean()) / (v.std() + 1e-6)
    return {"v": v}
# fix: (v - v.mean()) / (v.std() + 1e-6) -> torch.tanh(v)
