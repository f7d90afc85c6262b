"""CUT: one generator, one discriminator, and patches that are told from the others."""

_base_ = "schedule.py"
model = dict(
    type="mmgen_ext.CUT",
    generator=dict(
        type="mmgen_ext.ResnetGenerator",
        in_channels=3,
        out_channels=3,
        base_channels=64,
        num_blocks=9,
        norm="instance",
        use_dropout=False,
        padding_mode="reflect",
        upsample="resize",  # the paper blurs where it enlarges: no checkerboard either
        init_cfg=dict(type="normal", gain=0.02),
    ),
    discriminator=dict(
        type="mmgen_ext.PatchDiscriminator",
        in_channels=3,
        base_channels=64,
        num_conv=3,
        norm="instance",
        init_cfg=dict(type="normal", gain=0.02),
    ),
    gan_loss=dict(type="mmgen_ext.GANLoss", gan_type="lsgan"),
    nce_weight=1.0,
    nce_identity=True,
    nce_layers=None,  # the paper's
    num_patches=256,
    temperature=0.07,
    pool_size=0,
)
optimizer = dict(projections=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999), fused=True))
train_cfg = None
test_cfg = None
