"""Batches of simulated robots: named fields, start states, stepping, pictures."""
