def reward(s):
    return {"v": s.root_velocity[:, 0], "h": s.base_height}
# fix: s.root_velocity -> s.root_vel
# fix: s.base_height -> s.root_pos[:, 2]
