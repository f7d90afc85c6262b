"""The same at the size of CycleGAN's CPU config: pieces of 64 x 64, half as wide, 6 blocks."""

_base_ = "fastcut_hinge_resnet-resize_in_b1x1_80k_monet2photo.py"
model = dict(
    generator=dict(base_channels=32, num_blocks=6, semantics=2),
    discriminator=dict(enlarge=2),
)
train_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=143),
    dict(type="mmgen_ext.RandomCrop", size=64),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
test_pipeline = [train_pipeline[0], dict(type="mmgen_ext.Resize", size=128), train_pipeline[-1]]
data = dict(train=dict(pipeline=train_pipeline), test=dict(pipeline=test_pipeline))
total_iters = 4000
checkpoint_config = dict(interval=1000)
gallery = dict(interval=250)
evaluation = dict(interval=1000)
ema = dict(decay=0.998)
