def reward(s):
    return {"bend": -s.joint_pos["right_knee_joint"].abs(), "v": s.root_vel[:, 0]}
# fix: right_knee_joint -> right_knee
