"""Aerial photographs to maps and back: about 200 passes, as in the paper."""

_base_ = [
    "../_base_/model.py",
    "../_base_/data.py",
    "../_base_/schedule.py",
    "../_base_/runtime.py",
]
domains = ["aerial", "map"]  # trainA, trainB
data_root = "data/maps"
model = dict(domains=domains, default_domain="map")
total_iters = 220000
