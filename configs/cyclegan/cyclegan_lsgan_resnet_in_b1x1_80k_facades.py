"""Facade labels to photographs and back, without using their pairs."""

_base_ = [
    "../_base_/model.py",
    "../_base_/data.py",
    "../_base_/schedule.py",
    "../_base_/runtime.py",
]
domains = ["photo", "mask"]  # trainA, trainB
data_root = "data/facades"
model = dict(domains=domains, default_domain="photo")
