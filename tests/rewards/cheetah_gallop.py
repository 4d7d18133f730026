# robot: half_cheetah
PERIOD = 0.4

def reward(s):
    hind, front = s.foot_contact["hind"], s.foot_contact["front"]
    wave = torch.cos(2 * math.pi * s.phase)
    return {"gallop": (hind - front) * wave, "speed": long_tail(s.root_vel[:, 0] - 5.0, 2.0), "flat": -s.root_rpy[:, 1].square()}
