def reward(s):
    noise = 0.01 * torch.randn_like(s.time)
    return {"v": s.root_vel[:, 0] + noise}
# fix: 0.01 * torch.randn_like(s.time) -> 0.0
