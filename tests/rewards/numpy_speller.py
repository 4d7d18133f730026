import numpy as np

def reward(s):
    v = s.root_vel[:, 0]
    pitch = s.root_rpy[:, 1]
    energy_cost = np.sum(np.abs(s.action * s.joint_vel), axis=1)
    return {
        "v": np.exp(-np.square(v - 1.4)),
        "pitch": np.exp(-np.abs(pitch) * 4),
        "energy": -0.002 * energy_cost,
    }
