"""Photographs as Cezanne would have painted them, and back."""

_base_ = [
    "../_base_/model_default.py",
    "../_base_/data.py",
    "../_base_/schedule_default.py",
    "../_base_/runtime.py",
]
domains = ["cezanne", "photo"]  # trainA, trainB
data_root = "data/cezanne2photo"
model = dict(domains=domains, default_domain="cezanne")
