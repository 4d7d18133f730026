def reward(s):
    ankles = torch.stack([s.keypoint_pos["right_ankle"][:, 2], s.keypoint_pos["left_ankle"][:, 2]], dim=-1)
    higher = ankles.max(dim=-1).values
    lower = ankles.min(dim=-1).values
    return {"one_up": torch.tanh(3.0 * (higher - lower)), "go": s.root_vel[:, 0].clip(0.0, 1.4)}
