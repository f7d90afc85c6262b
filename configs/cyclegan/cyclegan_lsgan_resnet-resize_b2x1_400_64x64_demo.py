"""The demo: small enough to learn a known filter in two minutes on two CPU cores."""

_base_ = "cyclegan_lsgan_resnet-resize_in_b1x1_80k_monet2photo.py"
domains = ["photo", "drawing"]  # trainA, trainB
data_root = "data/demo"
init_cfg = dict(type="orthogonal", gain=1.0)
model = dict(
    domains=domains,
    default_domain="drawing",
    # Instance norm takes away a picture's own brightness, and so short a training cannot guess it.
    generator=dict(base_channels=16, num_blocks=3, norm="none", init_cfg=init_cfg),
    discriminator=dict(base_channels=32, num_conv=2),
)
train_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.RandomCrop", size=64),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
data = dict(samples_per_gpu=2, workers_per_gpu=0, train=dict(pipeline=train_pipeline))
optimizer = dict(generators=dict(lr=8e-4), discriminators=dict(lr=8e-4))
total_iters = 400
