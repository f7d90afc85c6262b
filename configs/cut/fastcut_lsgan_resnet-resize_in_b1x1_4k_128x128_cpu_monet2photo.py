"""FastCUT at the size that two CPU cores train: 128 x 128, half as wide, 6 blocks."""

_base_ = "cut_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"
model = dict(nce_weight=10.0, nce_identity=False)
lr_config = dict(decay_from=0.75)
