"""The same for some thousand iterations."""

_base_ = "runtime.py"
checkpoint_config = dict(interval=1000)
gallery = dict(interval=250)
evaluation = dict(interval=1000)
ema = dict(decay=0.998)
