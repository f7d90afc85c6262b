"""FastCUT through a network trained on ImageNet; default_domain="photo" for the way back."""

_base_ = ["../_base_/cut_default.py", "../_base_/data.py", "../_base_/runtime.py"]
domains = ["monet", "photo"]  # trainA, trainB
data_root = "data/monet2photo"
model = dict(domains=domains, default_domain="monet")
