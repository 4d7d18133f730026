def reward(s):
    return {"effort": -torch.mean(torch.square(s.action)), "v": s.root_vel[:, 0]}
# fix: torch.square(s.action)) -> torch.square(s.action), dim=-1)
