def reward(s):
    cost = torch.sum(s.action ** 2, dim=-1, keepdim=True)
    return {"cost": -0.1 * cost, "v": s.root_vel[:, 0]}
# fix: "cost": -0.1 * cost -> "cost": (-0.1 * cost).squeeze(-1)
