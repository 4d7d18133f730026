HISTORY = []

def reward(s):
    HISTORY.append(s.action)
    return {"smooth": -(s.action - HISTORY[0]).square().mean(dim=-1)}
# fix: HISTORY.append(s.action) -> previous = s.prev_action
# fix: HISTORY[0] -> previous
