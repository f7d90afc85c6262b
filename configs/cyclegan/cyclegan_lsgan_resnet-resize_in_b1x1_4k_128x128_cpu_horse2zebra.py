"""Horses to zebras and back at a size that two CPU cores train in an hour."""

_base_ = "cyclegan_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"
domains = ["horse", "zebra"]  # trainA, trainB
data_root = "data/horse2zebra"
model = dict(
    domains=domains,
    default_domain="zebra",
    generator=dict(smoothing=4),  # takes stripes away
    cycle_weight=5.0,  # with 2 there are blotches, with 10 horses stay horses
)
optimizer = dict(generators=dict(lr=1e-4))
evaluation = dict(interval=250)  # the best weights are kept
