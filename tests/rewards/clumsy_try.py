def reward(s):
    try:
        r = s.root_vel[:, 0] / s.root_pos[:, 2]
    except ZeroDivisionError:
        r = 0.0
    return {"r": r}
# fix: try: -> if True:
# fix: except ZeroDivisionError: -> else:
# fix: s.root_vel[:, 0] / s.root_pos[:, 2] -> torch.tanh(s.root_vel[:, 0])
