"""Photographs as Van Gogh would have painted them, and back."""

_base_ = [
    "../_base_/model_default.py",
    "../_base_/data.py",
    "../_base_/schedule_default.py",
    "../_base_/runtime.py",
]
domains = ["vangogh", "photo"]  # trainA, trainB
data_root = "data/vangogh2photo"
model = dict(domains=domains, default_domain="vangogh")
