import numpy as np

TARGET_HEIGHT = 1.25

def reward(s):
    h = s.root_pos[:, 2]
    below = np.where(h < TARGET_HEIGHT, TARGET_HEIGHT - h, 0.0)
    speed_term = np.clip(s.root_vel[:, 0], 0.0, 2.0) / 2.0
    return {"height": -np.minimum(below, 1.0), "speed": speed_term}
