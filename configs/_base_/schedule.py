"""80,000 iterations with Adam; the learning rate is constant, then falls to zero from half on."""

total_iters = 80000
optimizer = dict(
    generators=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999)),
    discriminators=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999)),
)
lr_config = dict(policy="ConstantThenLinear", decay_from=0.5)
accumulate_iters = 1  # batches that make one step together
