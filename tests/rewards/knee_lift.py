def reward(s):
    right = s.keypoint_pos["right_knee"][:, 2]
    left = s.keypoint_pos["left_knee"][:, 2]
    hip = s.keypoint_pos["hip"][:, 2]
    lift = torch.maximum(right, left) - 0.5
    return {"lift": torch.clamp(lift, 0.0, 0.4), "tall": torch.clamp(hip - 0.8, max=0.2), "go": s.root_vel[:, 0]}
