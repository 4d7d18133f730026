def reward(s):
    difference = s.contact_time[:, 0] - s.contact_time[:, 1]
    return {"even": torch.exp(-difference.abs()), "speed": speed(s, 0.8, 0.4), "slip": 0.2 * slip(s)}
