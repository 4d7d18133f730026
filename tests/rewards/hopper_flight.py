# robot: hopper
PERIOD = 0.6

def reward(s):
    flying = 1.0 - s.foot_contact[:, 0]
    wanted = (s.phase > 0.5).float()
    agree = flying * wanted + (1 - flying) * (1 - wanted)
    return {"agree": agree, "speed": speed(s, 1.5, 0.5), "clock": 0.5 * clock(s, 0.5)}
