def reward(s):
    error = (s.root_vel - torch.tensor([1.3, 0.0, 0.0])).square().sum(dim=1)
    return {"velocity": torch.exp(-error / 0.5), "spin": -0.05 * torch.linalg.norm(s.root_angvel, dim=-1)}
