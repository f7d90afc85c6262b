"""A light photo2vintage in half an hour of a CPU core: photographs and the teacher are enough."""

_base_ = "distill_mobile-resnet_in_b1x1_40k_photo2monet.py"
domains = ["photo", "vintage"]  # trainA; nothing is read of trainB
data_root = "data/photos"
teacher = dict(checkpoint="vintagify", to="vintage")
model = dict(domains=domains, default_domain="vintage", teacher=teacher, judge_against="teacher")
# Whole pictures: of a piece the teacher makes other colours, by its own mean and deviation.
train_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=256),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
data = dict(train=dict(only="photo", pipeline=train_pipeline))
optimizer = dict(generators=dict(lr=1e-3), adapters=dict(lr=1e-3))
total_iters = 2400
precision = "auto"
checkpoint_config = dict(interval=400)
ema = dict(decay=0.998)
