"""Horses to zebras by FastCUT at a size that a CPU trains in half an hour."""

_base_ = "fastcut_hinge_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"
domains = ["horse", "zebra"]  # trainA, trainB
data_root = "data/horse2zebra"
model = dict(domains=domains, default_domain="zebra")
evaluation = dict(interval=250)  # the best weights are kept
