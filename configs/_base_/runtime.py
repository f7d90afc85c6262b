"""Logs, pictures and checkpoints."""

log_config = dict(interval=50, hooks=[dict(type="TextLoggerHook")])
custom_hooks = [dict(type="GalleryHook", interval=1000)]
checkpoint_config = dict(interval=5000, max_keep_ckpts=3)
max_bad_steps = 10  # NaN or Inf in a row, then back to the last checkpoint; 0 does not look
workflow = [("train", 1)]
log_level = "INFO"
seed = 2021
cudnn_benchmark = True
load_from = None
resume_from = None
