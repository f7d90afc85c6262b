"""Horses to zebras and back; the length of mmgen's recipe."""

_base_ = [
    "../_base_/model_default.py",
    "../_base_/data.py",
    "../_base_/schedule_default.py",
    "../_base_/runtime.py",
]
domains = ["horse", "zebra"]  # trainA, trainB
data_root = "data/horse2zebra"
# What is known of these from the CPU size is said in its config.
model = dict(
    domains=domains,
    default_domain="zebra",
    generator=dict(smoothing=8),  # pixels: takes stripes away
    cycle_weight=5.0,
)
optimizer = dict(generators=dict(lr=1e-4))
total_iters = 270000
