"""A MobileResnetGenerator that learns from a trained generator; the leaf names the teacher."""

_base_ = "schedule.py"
model = dict(
    type="mmgen_ext.Distiller",
    generator=dict(
        type="mmgen_ext.MobileResnetGenerator",
        in_channels=3,
        out_channels=3,
        base_channels=32,
        num_blocks=3,
        norm="instance",
        padding_mode="reflect",
        upsample="deconv",
        global_skip=True,  # a photograph's details need not be learned
        recolor=True,  # nor its colours pixel by pixel
        init_cfg=dict(type="kaiming"),
    ),
    discriminator=dict(type="mmgen_ext.ProjectedDiscriminator"),
    gan_loss=dict(type="mmgen_ext.GANLoss", gan_type="hinge", loss_weight=0.2),
    distill_weight=10.0,
    feature_weight=1.0,
    num_taps=3,  # at the beginning, in the middle and at the end of the residual blocks
    pool_size=50,
)
optimizer = dict(
    discriminators=dict(lr=1e-3),
    adapters=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999), fused=True),
)
train_cfg = None
test_cfg = None
