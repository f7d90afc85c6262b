"""CUT with the generator and the judges of model_default.py; see configs/cut/README.md."""

_base_ = "cut.py"
model = dict(
    generator=dict(global_skip=True, semantics=1, last_activation="softsign"),
    discriminator=dict(_delete_=True, type="mmgen_ext.ProjectedDiscriminator", enlarge=1),
    gan_loss=dict(gan_type="hinge", loss_weight=2.0),
    source_negatives=1.0,
    discriminator_augment="scale,noise",
    nce_identity=False,  # the pictures' own colours are what begins
)
optimizer = dict(discriminators=dict(lr=1e-3))
lr_config = dict(decay_from=0.75)
precision = "auto"
