Here is the reward function:

def reward(s):
    return {"v": s.root_vel[:, 0]}
# fix: Here is the reward function: ->
