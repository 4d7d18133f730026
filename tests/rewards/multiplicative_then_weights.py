WEIGHTS = [0.4, 0.3, 0.2, 0.1]

def reward(s):
    parts = [
        torch.exp(-2.0 * (s.root_vel[:, 0] - 1.3) ** 2),
        torch.exp(-5.0 * s.root_rpy[:, 1] ** 2),
        torch.exp(-10.0 * (s.root_pos[:, 2] - 1.2) ** 2),
        torch.exp(-0.1 * (s.action ** 2).sum(-1)),
    ]
    imitation = sum(w * p for w, p in zip(WEIGHTS, parts))
    return {"imitation": imitation}
