"""Horses to zebras by FastCUT through a network trained on ImageNet; the paper's 200 passes."""

_base_ = "fastcut_hinge_resnet-resize_in_b1x1_80k_monet2photo.py"
domains = ["horse", "zebra"]  # trainA, trainB
data_root = "data/horse2zebra"
model = dict(domains=domains, default_domain="zebra")
total_iters = 270000
