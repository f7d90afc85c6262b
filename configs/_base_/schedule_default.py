"""The schedule for model_default.py: small judges learn faster than what they judge."""

_base_ = "schedule.py"
optimizer = dict(discriminators=dict(lr=1e-3))
precision = "auto"
