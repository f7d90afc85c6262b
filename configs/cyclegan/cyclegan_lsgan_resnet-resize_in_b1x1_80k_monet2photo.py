"""Resize and convolve instead of transposed convolutions: no checkerboard by construction."""

_base_ = "cyclegan_lsgan_resnet_in_b1x1_80k_monet2photo_paper.py"
model = dict(generator=dict(upsample="resize"))
