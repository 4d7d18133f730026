def reward(s):
    total = 0.0
    i = 0
    while i < 6:
        total = total + s.joint_vel[:, i].abs()
        i += 1
    return {"calm": -0.01 * total}
# fix: while i < 6: -> for i in range(6):
