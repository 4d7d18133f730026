def reward(s):
    impact = (s.foot_force / 1000.0).clamp(max=3.0).square().sum(dim=-1)
    return {"impact": -0.05 * impact, "go": s.root_vel[:, 0].clamp(max=1.5)}
