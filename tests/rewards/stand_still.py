# robot: hopper
def reward(s):
    still = torch.exp(-s.joint_vel.square().sum(dim=-1) / 10.0)
    stay = torch.exp(-s.root_vel.norm(dim=-1))
    return {"still": still, "stay": stay, "height": height(s, 1.2, 0.2)}
