"""Run forward, pay for torque (the classic locomotion reward)."""
def reward(s):
    forward = s.root_vel[:, 0]
    control = 0.1 * torch.sum(torch.square(s.action), dim=-1)
    return {"forward": forward, "control": -control, "alive": 1.0}
