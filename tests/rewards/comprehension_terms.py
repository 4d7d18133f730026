W = {"right_hip": 0.1, "left_hip": 0.1, "right_knee": 0.05, "left_knee": 0.05}

def reward(s):
    terms = {f"still_{j}": -w * s.joint_vel[j].square() for j, w in W.items()}
    terms["forward"] = s.root_vel[:, 0].clamp(-1.0, 2.0)
    return terms
