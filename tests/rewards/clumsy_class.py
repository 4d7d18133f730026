class Weights:
    speed = 1.0

def reward(s):
    return {"v": Weights.speed * s.root_vel[:, 0]}
# fix: class Weights:\n    speed = 1.0 -> def weight():\n    return 1.0
# fix: Weights.speed -> weight()
