"""CycleGAN of the paper: ResNet generators with 9 blocks, PatchGAN discriminators, LSGAN."""

model = dict(
    type="mmgen_ext.CycleGAN",
    generator=dict(
        type="mmgen_ext.ResnetGenerator",
        in_channels=3,
        out_channels=3,
        base_channels=64,
        num_blocks=9,
        norm="instance",
        use_dropout=False,
        padding_mode="reflect",
        upsample="deconv",
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
    cycle_weight=10.0,
    identity_weight=5.0,  # absolute: the paper's 0.5 times its lambda of 10
    pool_size=50,
)
train_cfg = None
test_cfg = None
