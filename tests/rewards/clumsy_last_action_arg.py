def reward(s, action, prev_action):
    return {"smooth": -(action - prev_action).square().mean(dim=-1)}
