SIDES = ("right", "left")

def reward(s):
    clearance = torch.zeros_like(s.time)
    for i, side in enumerate(SIDES):
        swinging = 1.0 - s.foot_contact[side]
        clearance += swinging * torch.clamp(s.foot_height[side], 0.0, 0.1) * 10.0
    return {"clearance": clearance, "go": torch.tanh(s.root_vel[:, 0])}
