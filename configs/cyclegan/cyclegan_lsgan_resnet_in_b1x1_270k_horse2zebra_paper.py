"""The paper's recipe for horse2zebra, all in float32: what mmgen's trained weights fit."""

_base_ = "cyclegan_lsgan_resnet_in_b1x1_270k_horse2zebra.py"
model = dict(
    generator=dict(upsample="deconv", global_skip=False),
    cycle_beta=0.0,
    identity_weight=5.0,
)
precision = "fp32"
