TARGET = -0.6

def reward(s):
    v = s.root_vel[:, 0]
    track = torch.exp(-((v - TARGET) / 0.3) ** 2)
    return {"track": track, "upright": upright(s)}
