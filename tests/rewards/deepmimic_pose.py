REFERENCE = torch.tensor([0.1, -0.3, 0.0, 0.2, -0.1, 0.0])

def reward(s):
    pose_error = torch.sum((s.joint_pos - REFERENCE) ** 2, dim=-1)
    velocity_error = torch.mean(s.joint_vel ** 2, dim=-1)
    return {"pose": torch.exp(-2.0 * pose_error), "velocity": torch.exp(-0.1 * velocity_error)}
