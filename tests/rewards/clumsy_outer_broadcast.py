def reward(s):
    upright_gate = s.up[:, 2:3]
    return {"gated": s.root_vel[:, 0] * upright_gate}
# fix: s.up[:, 2:3] -> s.up[:, 2]
