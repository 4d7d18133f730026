gauss = lambda x, w=0.25: torch.exp(-0.5 * (x / w) ** 2)

def reward(s):
    return {"speed": gauss(s.root_vel[:, 0] - 1.3, 0.4), "pitch": gauss(s.root_rpy[:, 1])}
