"""Flowers from a telephone to the shallow focus of a large camera, and back."""

_base_ = [
    "../_base_/model.py",
    "../_base_/data.py",
    "../_base_/schedule.py",
    "../_base_/runtime.py",
]
domains = ["iphone", "dslr"]  # trainA, trainB
data_root = "data/iphone2dslr_flower"
model = dict(domains=domains, default_domain="dslr")
total_iters = 200000
