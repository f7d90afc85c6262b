"""80,000 iterations with Adam; the learning rate is constant, then falls to zero from half on."""

total_iters = 80000
optimizer = dict(
    generators=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999), fused=True),
    discriminators=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999), fused=True),
)
lr_config = dict(policy="ConstantThenLinear", decay_from=0.5)
accumulate_iters = 1  # batches that make one step together
precision = "fp32"  # 'auto' is bf16 where the machine has it; 'fp16' on CUDA
compile = False  # torch.compile; on a CPU slower than what is there without it
