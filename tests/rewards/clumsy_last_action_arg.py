def reward(s, action, prev_action):
    return {"smooth": -(action - prev_action).square().mean(dim=-1)}
# fix: (s, action, prev_action) -> (s)
# fix: (action - prev_action) -> (s.action - s.prev_action)
