"""Talking to models: one chat call, what it may cost, and what was already answered."""
