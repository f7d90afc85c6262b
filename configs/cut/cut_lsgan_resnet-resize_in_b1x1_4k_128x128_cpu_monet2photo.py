"""CUT at the size of CycleGAN's CPU config: 128 x 128, half as wide, 6 blocks."""

_base_ = ["../_base_/cut.py", "../_base_/data_cpu.py", "../_base_/runtime_cpu.py"]
domains = ["monet", "photo"]  # trainA, trainB
data_root = "data/monet2photo"
model = dict(
    domains=domains,
    default_domain="monet",
    generator=dict(base_channels=32, num_blocks=6),
    discriminator=dict(base_channels=32),
)
train_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=143),
    dict(type="mmgen_ext.RandomCrop", size=128),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
data = dict(train=dict(pipeline=train_pipeline))
total_iters = 4000
precision = "auto"
