import torch

SPEED_TEMP = 0.5
UPRIGHT_TEMP = 0.2

def reward(s):
    target_speed: float = 1.3
    speed_error = torch.abs(s.root_vel[:, 0] - target_speed)
    speed_reward = torch.exp(-speed_error / SPEED_TEMP)
    upright_reward = torch.exp((s.up[:, 2] - 1.0) / UPRIGHT_TEMP)
    action_penalty = torch.norm(s.action, p=2, dim=-1)
    return {
        "speed": 2.0 * speed_reward,
        "upright": upright_reward,
        "action": -0.05 * action_penalty,
    }
