# robot: half_cheetah
PERIOD = 0.5

def reward(s):
    return {
        "speed": speed(s, 3.0, 1.0),
        "clock": clock(s, 0.45),
        "knee": knee(s, 0.6, 0.45, width=0.4),
        "effort": 0.1 * effort(s),
        "energy": 0.1 * energy(s, scale=3000.0),
    }
