"""The paper's recipe for horse2zebra, all in float32: what mmgen's trained weights fit."""

_base_ = [
    "../_base_/model.py",
    "../_base_/data.py",
    "../_base_/schedule.py",
    "../_base_/runtime.py",
]
domains = ["horse", "zebra"]  # trainA, trainB
data_root = "data/horse2zebra"
model = dict(domains=domains, default_domain="zebra")
total_iters = 270000
