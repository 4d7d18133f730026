def reward(s):
    v = s.root_vel[:, 0]
    print("v", v)
    return {"v": v}
