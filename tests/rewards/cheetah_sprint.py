# robot: half_cheetah
import torch

def reward(state):
    vel = state.root_vel[:, 0]
    ctrl_cost = 0.1 * (state.action ** 2).sum(dim=-1)
    return {"run": vel, "ctrl": -ctrl_cost}
