"""A light photo2monet that learns from the paper's generator and from Monet's paintings."""

_base_ = ["../_base_/distill.py", "../_base_/data.py", "../_base_/runtime.py"]
domains = ["monet", "photo"]  # trainA, trainB
data_root = "data/monet2photo"
model = dict(
    domains=domains,
    default_domain="monet",
    teacher=dict(checkpoint="photo2monet", to="monet"),
)
total_iters = 40000
