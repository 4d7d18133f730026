import torch
NOMINAL = {"right_hip": 0.0, "right_knee": -0.1, "left_hip": 0.0, "left_knee": -0.1}

def reward(s):
    posture = 0.0
    for joint, angle in NOMINAL.items():
        posture = posture + torch.square(s.joint_pos[joint] - angle)
    return {"posture": torch.exp(-posture / len(NOMINAL)), "speed": speed(s, 1.0, 0.5)}
