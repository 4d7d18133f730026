def reward(s):
    ratio = s.contact_time[:, 0] / s.contact_time[:, 1]
    return {"ratio": torch.tanh(ratio)}
# fix: s.contact_time[:, 1] -> (s.contact_time[:, 1] + 1e-6)
