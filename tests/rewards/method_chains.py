def reward(s):
    effort = s.action.abs().mean(dim=-1)
    jerk = (s.action - s.prev_action).pow(2).sum(-1).sqrt()
    return {"effort": effort.mul(-0.1), "jerk": jerk.neg().clamp(min=-2), "run": s.root_vel[..., 0].tanh()}
