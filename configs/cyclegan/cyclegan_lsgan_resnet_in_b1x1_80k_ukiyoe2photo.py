"""Photographs as ukiyo-e prints, and back."""

_base_ = [
    "../_base_/model_default.py",
    "../_base_/data.py",
    "../_base_/schedule_default.py",
    "../_base_/runtime.py",
]
domains = ["ukiyoe", "photo"]  # trainA, trainB
data_root = "data/ukiyoe2photo"
model = dict(domains=domains, default_domain="ukiyoe")
