import torch

def _reward_lin_vel_z(s):
    return torch.square(s.root_vel[:, 2])

def _reward_ang_vel_xy(s):
    return torch.sum(torch.square(s.root_angvel[:, :2]), dim=1)

def _reward_tracking_lin_vel(s, command, sigma=0.25):
    error = torch.square(command - s.root_vel[:, 0])
    return torch.exp(-error / sigma)

def _reward_action_rate(s):
    return torch.sum(torch.square(s.prev_action - s.action), dim=1)

def _reward_feet_air_time(s):
    first_contact = (s.contact_time > 0.) & (s.contact_time < 0.03)
    return torch.sum((s.air_time - 0.5) * first_contact, dim=1)

def reward(s):
    return {
        "tracking": 1.5 * _reward_tracking_lin_vel(s, 1.2),
        "lin_vel_z": -2.0 * _reward_lin_vel_z(s),
        "ang_vel_xy": -0.05 * _reward_ang_vel_xy(s),
        "action_rate": -0.01 * _reward_action_rate(s),
        "feet_air_time": 1.0 * _reward_feet_air_time(s),
    }
