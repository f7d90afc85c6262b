"""Horses to zebras at CPU size, judged through a network trained on ImageNet."""

_base_ = "cyclegan_hinge-projected_resnet-resize_in_b1x1_2k_128x128_cpu_monet2photo.py"
domains = ["horse", "zebra"]  # trainA, trainB
data_root = "data/horse2zebra"
model = dict(domains=domains, default_domain="zebra")
