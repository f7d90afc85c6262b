"""Unpaired pictures at a size that a CPU trains: 143 x 143, a random 64 x 64 of it, mirrored."""

_base_ = "data.py"
train_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=143),
    dict(type="mmgen_ext.RandomCrop", size=64),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
test_pipeline = [train_pipeline[0], dict(type="mmgen_ext.Resize", size=128), train_pipeline[-1]]
data = dict(train=dict(pipeline=train_pipeline), test=dict(pipeline=test_pipeline))
