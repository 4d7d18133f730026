CONFIG = {
    "speed": {"target": 1.2, "width": 0.4, "weight": 1.0},
    "height": {"target": 1.2, "width": 0.1, "weight": 0.5},
}

def reward(s):
    values = {"speed": s.root_vel[:, 0], "height": s.root_pos[:, 2]}
    return {k: c["weight"] * kernel(values[k] - c["target"], c["width"]) for k, c in CONFIG.items()}
