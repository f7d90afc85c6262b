"""FastCUT: half of CUT's work, patches weigh ten times as much instead of keeping real Monets."""

_base_ = "cut_lsgan_resnet-resize_in_b1x1_80k_monet2photo.py"
model = dict(nce_weight=10.0, nce_identity=False)
lr_config = dict(decay_from=0.75)
