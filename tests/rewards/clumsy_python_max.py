def reward(s):
    lifted = max(s.foot_height[:, 0], s.foot_height[:, 1])
    return {"lifted": min(lifted, 0.2), "slow": max(0.0, s.root_vel[:, 0])}
