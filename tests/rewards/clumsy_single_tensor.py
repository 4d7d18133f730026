def reward(s):
    r = s.root_vel[:, 0] - 0.1 * s.action.square().sum(-1)
    return r
# fix: return r -> return {"forward": r}
