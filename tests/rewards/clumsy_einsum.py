def reward(s):
    power = torch.einsum("ij,ij->i", s.action, s.joint_vel)
    return {"power": -0.01 * power.abs()}
# fix: torch.einsum("ij,ij->i", s.action, s.joint_vel) -> (s.action * s.joint_vel).sum(dim=-1)
