"""Without the identity loss: a third less work, and colours that may wander."""

_base_ = "cyclegan_lsgan_resnet_in_b1x1_80k_monet2photo_paper.py"
model = dict(identity_weight=0.0)
