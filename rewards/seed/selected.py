"""Stay up, trunk upright, and go forward at a metre a second."""

TARGET = {"speed": 1.0, "lean": 0.0}
WIDTH = {"speed": 0.5, "lean": 0.25}
WEIGHT = {"alive": 1.0, "speed": 1.0, "upright": 1.0}


def reward(s):
    return {
        "alive": WEIGHT["alive"] * alive(s),
        "speed": WEIGHT["speed"] * speed(s, TARGET["speed"], WIDTH["speed"]),
        "upright": WEIGHT["upright"] * upright(s, TARGET["lean"], WIDTH["lean"]),
    }
