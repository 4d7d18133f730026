def reward(s):
    v = s.root_vel[:, 0]
    fast = 1.0 if v > 1.0 else v
    return {"fast": fast, "lean": -abs(s.root_rpy[:, 1])}
