"""Measures: what good motion means, as figures of expert and learner and one number."""
