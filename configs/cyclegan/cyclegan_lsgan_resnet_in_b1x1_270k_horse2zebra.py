"""Horses to zebras and back; the length of mmgen's recipe."""

_base_ = [
    "../_base_/model_default.py",
    "../_base_/data.py",
    "../_base_/schedule_default.py",
    "../_base_/runtime.py",
]
domains = ["horse", "zebra"]  # trainA, trainB
data_root = "data/horse2zebra"
model = dict(domains=domains, default_domain="zebra")
total_iters = 270000
precision = "auto"
