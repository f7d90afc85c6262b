"""Apples to oranges and back: about 200 passes, as in the paper."""

_base_ = [
    "../_base_/model.py",
    "../_base_/data.py",
    "../_base_/schedule.py",
    "../_base_/runtime.py",
]
domains = ["apple", "orange"]  # trainA, trainB
data_root = "data/apple2orange"
model = dict(domains=domains, default_domain="orange")
total_iters = 200000
