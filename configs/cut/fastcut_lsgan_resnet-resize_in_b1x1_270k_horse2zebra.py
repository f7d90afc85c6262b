"""Horses to zebras by FastCUT; the paper's 200 passes."""

_base_ = "cut_lsgan_resnet-resize_in_b1x1_530k_horse2zebra.py"
model = dict(nce_weight=10.0, nce_identity=False)
lr_config = dict(decay_from=0.75)
total_iters = 270000
