def reward(s):
    return {"height": torch.log(s.root_pos[:, 2])}
# fix: s.root_pos[:, 2] -> torch.clamp(s.root_pos[:, 2], min=1e-6)
