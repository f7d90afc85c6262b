"""Unpaired pictures: 286 x 286, a random 256 x 256 of it, mirrored half of the time."""

train_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=286),
    dict(type="mmgen_ext.RandomCrop", size=256),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
test_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=256),
    dict(type="mmgen_ext.ToTensor"),
]
# Domains and data root are the leaf's.
data = dict(
    samples_per_gpu=1,
    workers_per_gpu=2,
    train=dict(type="mmgen_ext.UnpairedImageDataset", pipeline=train_pipeline),
    test=dict(type="mmgen_ext.UnpairedImageDataset", pipeline=test_pipeline, test_mode=True),
)
