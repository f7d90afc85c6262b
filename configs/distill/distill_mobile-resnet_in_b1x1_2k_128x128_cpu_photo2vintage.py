"""A light photo2vintage in half an hour of a CPU core: photographs and the teacher are enough."""

_base_ = "distill_lsgan_mobile-resnet_in_b1x1_40k_photo2monet.py"
domains = ["photo", "vintage"]  # trainA; nothing is read of trainB
data_root = "data/photos"
teacher = dict(checkpoint="vintagify", to="vintage")
model = dict(domains=domains, default_domain="vintage", teacher=teacher, discriminator=None)
# Of the size of what is translated, so that strokes and grain are as large as there.
train_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=256),
    dict(type="mmgen_ext.RandomCrop", size=128),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
data = dict(train=dict(only="photo", pipeline=train_pipeline))
optimizer = dict(generators=dict(lr=1e-3), adapters=dict(lr=1e-3))
total_iters = 2000
precision = "auto"
checkpoint_config = dict(interval=1000)
ema = dict(decay=0.998)
