"""The paper's recipe for cezanne2photo, all in float32: what mmgen's trained weights fit."""

_base_ = [
    "../_base_/model.py",
    "../_base_/data.py",
    "../_base_/schedule.py",
    "../_base_/runtime.py",
]
domains = ["cezanne", "photo"]  # trainA, trainB
data_root = "data/cezanne2photo"
model = dict(domains=domains, default_domain="cezanne")
