"""What does best of what was tried at a size that a CPU trains; see configs/cyclegan/README.md.

For pictures that stay what they are and look otherwise: the generators make the change alone.
"""

_base_ = "model.py"
model = dict(
    generator=dict(
        upsample="resize",
        global_skip=True,
        semantics=1,  # tells horses from meadows
        last_activation="softsign",
    ),
    # What a network trained on ImageNet makes of pictures; it is shown 200 pixels or so.
    discriminator=dict(_delete_=True, type="mmgen_ext.ProjectedDiscriminator", enlarge=1),
    gan_loss=dict(gan_type="hinge", loss_weight=2.0),
    source_negatives=1.0,  # else what was found is lost again
    discriminator_augment="scale,noise",  # else thin coloured lines do as well as a pattern
    cycle_beta=0.3,  # else nothing moves: what is not changed comes back exactly
    identity_weight=0.0,  # a third less work; the pictures' own colours are what begins
)
