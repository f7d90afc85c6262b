"""Logs, pictures, metrics and checkpoints."""

log_config = dict(interval=50, hooks=[dict(type="TextLoggerHook")])
gallery = dict(interval=1000)  # the same test pictures each time, in training_samples/
evaluation = dict(interval=5000)  # KID and FID of both directions; the best weights are kept
ema = dict(decay=0.999)  # averaged generators; None for none
health = dict(interval=100)  # warns of collapse, inverted colours and the like
report = dict(min_seconds=30)  # report.html
custom_hooks = []
checkpoint_config = dict(interval=5000, max_keep_ckpts=3)
max_bad_steps = 10  # NaN or Inf in a row, then back to the last checkpoint; 0 does not look
workflow = [("train", 1)]
log_level = "INFO"
seed = 2021
cudnn_benchmark = True
load_from = None
resume_from = None
