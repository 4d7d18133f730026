def reward(s):
    feet = (s.keypoint_pos["right_ankle"] + s.keypoint_pos["left_ankle"]) / 2
    offset = s.keypoint_pos["hip"][:, :2] - feet[:, :2]
    return {"balance": torch.exp(-offset.norm(dim=-1) / 0.2), "alive": alive(s)}
