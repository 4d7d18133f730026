def reward(s):
    tall = tolerance(s.root_pos[:, 2], 1.1, 1.4, margin=0.3)
    moving = tolerance(s.root_vel[:, 0], 1.0, 1.6, margin=0.8)
    return {"product": tall * moving, "alive": 0.2}
