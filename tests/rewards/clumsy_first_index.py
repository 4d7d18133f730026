def reward(s):
    vx = s.root_vel[0]
    return {"vx": vx}
# fix: s.root_vel[0] -> s.root_vel[:, 0]
