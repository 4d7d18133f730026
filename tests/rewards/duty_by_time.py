PERIOD = 1.25
DUTY = 0.62

def reward(s):
    stands = stance(s.phase, DUTY)
    other = stance(s.phase + 0.5, DUTY)
    right = (s.foot_contact["right"] - stands).abs()
    left = (s.foot_contact["left"] - other).abs()
    return {"gait": 1.0 - 0.5 * (right + left), "speed": speed(s, 1.3, 0.5), "knee": knee(s, 1.0, DUTY, 0.3)}
