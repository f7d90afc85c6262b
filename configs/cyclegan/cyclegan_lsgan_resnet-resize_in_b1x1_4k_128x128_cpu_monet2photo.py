"""Monet at a size that two CPU cores train in an hour: 128 x 128, half as wide, 6 blocks."""

_base_ = [
    "../_base_/model_default.py",
    "../_base_/data_cpu.py",
    "../_base_/schedule_default.py",
    "../_base_/runtime_cpu.py",
]
domains = ["monet", "photo"]  # trainA, trainB
data_root = "data/monet2photo"
model = dict(
    domains=domains,
    default_domain="monet",
    generator=dict(base_channels=32, num_blocks=6, semantics=2),
    discriminator=dict(enlarge=2),
)
total_iters = 4000
