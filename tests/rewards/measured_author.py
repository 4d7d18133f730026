"""Walk at 1.37 m/s with a stride of 1.31 s."""

PERIOD = 1.31  # s, one stride

TARGET = {
    "speed": 1.365,  # m/s
    "duty": 0.62,  # fraction of the stride a foot stands
    "step": 0.838,  # m, ankle to ankle
    "knee": 0.995,  # rad, flexion in swing
    "bob": 0.0705,  # m, rise and fall of the hip
}

WEIGHT = {"alive": 0.5, "speed": 1.0, "upright": 1.0, "clock": 1.0, "step": 1.0, "knee": 1.0, "bob": 0.5}


def reward(s):
    return {
        "alive": WEIGHT["alive"] * alive(s),
        "speed": WEIGHT["speed"] * speed(s, TARGET["speed"], width=0.5),
        "upright": WEIGHT["upright"] * upright(s, 0.0, width=0.25),
        "clock": WEIGHT["clock"] * clock(s, TARGET["duty"]),
        "step": WEIGHT["step"] * step(s, TARGET["step"], width=0.25),
        "knee": WEIGHT["knee"] * knee(s, TARGET["knee"], TARGET["duty"], width=0.3),
        "bob": WEIGHT["bob"] * bob(s, 0.96, TARGET["bob"], width=0.04),
    }
