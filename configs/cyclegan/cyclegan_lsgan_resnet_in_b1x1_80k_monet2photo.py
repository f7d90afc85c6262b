"""Photographs as Monet would have painted them, and back."""

_base_ = [
    "../_base_/model_default.py",
    "../_base_/data.py",
    "../_base_/schedule_default.py",
    "../_base_/runtime.py",
]
domains = ["monet", "photo"]  # trainA, trainB
data_root = "data/monet2photo"
model = dict(domains=domains, default_domain="monet")
