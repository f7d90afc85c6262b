"""Street labels to photographs and back, without using their pairs."""

_base_ = [
    "../_base_/model.py",
    "../_base_/data.py",
    "../_base_/schedule.py",
    "../_base_/runtime.py",
]
domains = ["street", "label"]  # trainA, trainB
data_root = "data/cityscapes"
model = dict(domains=domains, default_domain="street")
total_iters = 200000
