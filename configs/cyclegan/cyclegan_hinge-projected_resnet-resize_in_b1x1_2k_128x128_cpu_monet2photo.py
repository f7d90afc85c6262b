"""Monet at CPU size, judged through a network trained on ImageNet; half an hour of one core."""

_base_ = "cyclegan_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"
model = dict(
    discriminator=dict(_delete_=True, type="mmgen_ext.ProjectedDiscriminator", enlarge=2),
    gan_loss=dict(gan_type="hinge", loss_weight=2.0),
)
optimizer = dict(discriminators=dict(lr=1e-3))
train_pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=143),
    dict(type="mmgen_ext.RandomCrop", size=64),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
data = dict(train=dict(pipeline=train_pipeline))
total_iters = 1800
checkpoint_config = dict(interval=600)
evaluation = dict(interval=600)
