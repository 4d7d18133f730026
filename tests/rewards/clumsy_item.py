def reward(s):
    if s.root_pos[:, 2].item() < 0.8:
        penalty = -1.0
    else:
        penalty = 0.0
    return {"penalty": penalty, "v": s.root_vel[:, 0]}
# fix: .item() ->
