def reward(s):
    right = s.foot_contact[:, 0] > 0.5
    left = s.foot_contact[:, 1] > 0.5
    single = right ^ left
    double = right & left
    flight = ~right & ~left
    return {"single": single.float(), "double": 0.2 * double, "flight": -1.0 * flight}
