"""Horses to zebras by CUT; the paper's 400 passes."""

_base_ = "cut_lsgan_resnet-resize_in_b1x1_80k_monet2photo.py"
domains = ["horse", "zebra"]  # trainA, trainB
data_root = "data/horse2zebra"
model = dict(domains=domains, default_domain="zebra")
total_iters = 530000
