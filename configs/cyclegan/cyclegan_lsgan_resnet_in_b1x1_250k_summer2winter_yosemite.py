"""Yosemite in summer and in winter; the length of mmgen's recipe."""

_base_ = [
    "../_base_/model.py",
    "../_base_/data.py",
    "../_base_/schedule.py",
    "../_base_/runtime.py",
]
domains = ["summer", "winter"]  # trainA, trainB
data_root = "data/summer2winter_yosemite"
model = dict(domains=domains, default_domain="winter")
total_iters = 250000
