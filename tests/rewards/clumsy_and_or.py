def reward(s):
    if s.root_pos[:, 2] > 1.0 and s.root_rpy[:, 1] < 0.3:
        ok = 1.0
    else:
        ok = 0.0
    return {"ok": ok, "v": s.root_vel[:, 0]}
