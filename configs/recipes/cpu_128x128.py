"""Recipes at a size that two CPU cores train: what tools/compare_recipes.py compares."""

base = "../cyclegan/cyclegan_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"
common = {
    "data.workers_per_gpu": 0,
    "data.train.cache": True,
    "gallery": None,
    "report": None,
    "log_config.interval": 100,
}
sets = dict(
    monet2photo=dict(domains=["monet", "photo"], data_root="monet2photo"),
    horse2zebra=dict(domains=["horse", "zebra"], data_root="horse2zebra"),
)
seeds = [1, 2]
minutes = 12
iterations = 1000
recipes = {
    "mmgen": "mmgen",
    "base": {},
    "deconv": {"model.generator.upsample": "deconv"},
    "identity_0.5": {"model.identity_weight": 0.5},
    "identity_0": {"model.identity_weight": 0.0},
    "hinge": {"model.gan_loss.gan_type": "hinge"},
    "vanilla": {"model.gan_loss.gan_type": "vanilla"},
    "spectral": {"model.discriminator.spectral_norm": True},
    "ema_0.99": {"ema.decay": 0.99},
    "no_ema": {"ema": None},
    "lr_4e-4": {"optimizer.generators.lr": 4e-4, "optimizer.discriminators.lr": 4e-4},
    "ttur": {"optimizer.discriminators.lr": 4e-4},
    "batch_2": {"data.samples_per_gpu": 2},
    "batch_4": {"data.samples_per_gpu": 4},
    "decay_0": {"lr_config.decay_from": 0.0},
}
