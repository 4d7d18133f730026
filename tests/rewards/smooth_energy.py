def reward(s):
    return {"speed": speed(s, target=1.0, width=0.5), "smooth": 0.3 * smooth(s), "energy": 0.1 * energy(s), "effort": 0.1 * effort(s)}
