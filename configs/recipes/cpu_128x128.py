"""Recipes at a size that two CPU cores train: what tools/compare_recipes.py compares.

`default` is what painters' and animals' configs have; each of the others differs by what it names.
"""

base = "../cyclegan/cyclegan_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"
common = {
    "data.workers_per_gpu": 0,
    "data.train.cache": True,
    "gallery": None,
    "report": None,
    "log_config.interval": 100,
}
sets = {
    "monet2photo": {"domains": ["monet", "photo"], "data_root": "monet2photo"},
    "horse2zebra": {
        "domains": ["horse", "zebra"],
        "data_root": "horse2zebra",
        "model.default_domain": "zebra",
    },
}
seeds = [1, 2]
repeated = ["mmgen", "default"]  # what all others are compared with; they have the first seed alone
minutes = 12
iterations = 500
projected = {  # judged through a network trained on ImageNet
    "base": "../cyclegan/"
    "cyclegan_hinge-projected_resnet-resize_in_b1x1_2k_128x128_cpu_monet2photo.py"
}
recipes = {
    "mmgen": "mmgen",
    "paper": {
        "model.generator.global_skip": False,
        "model.generator.upsample": "deconv",
        "model.cycle_beta": 0.0,
        "model.identity_weight": 5.0,
    },
    "paper_resize": {
        "model.generator.global_skip": False,
        "model.cycle_beta": 0.0,
        "model.identity_weight": 5.0,
    },
    "default": {},
    "no_skip": {"model.generator.global_skip": False},
    "deconv": {"model.generator.upsample": "deconv"},
    "subpixel": {"model.generator.upsample": "subpixel"},
    "blur": {"model.generator.downsample": "blur"},
    "no_ema": {"ema": None},
    "ema_0.99": {"ema.decay": 0.99},
    "beta_0": {"model.cycle_beta": 0.0},
    "beta_0.5": {"model.cycle_beta": 0.5},
    "identity_0.5": {"model.identity_weight": 0.5},
    "identity_5": {"model.identity_weight": 5.0},
    "identity_falls": {
        "model.identity_weight": 5.0,
        "loss_schedule": dict(identity_weight=dict(to=0.0, start=0.0, end=0.5)),
    },
    "hinge": {"model.gan_loss.gan_type": "hinge"},
    "vanilla": {"model.gan_loss.gan_type": "vanilla"},
    "spectral": {"model.discriminator.spectral_norm": True},
    "r1": {"model.gan_loss.r1_weight": 1.0},
    "augment": {"model.discriminator_augment": "color,translation,cutout"},
    "multiscale": {"model.discriminator.type": "mmgen_ext.MultiscaleDiscriminator"},
    "projected": projected,
    "projected_softsign": {
        **projected,
        "model.cycle_weight": 2.0,
        "model.generator.last_activation": "softsign",
    },
    "no_norm_in_d": {"model.discriminator.norm": "none"},
    "crop_64": {"data.train.pipeline.2.size": 64},
    "ttur": {"optimizer.generators.lr": 1e-4, "optimizer.discriminators.lr": 4e-4},
    "warmup": {"lr_config.warmup": "linear", "lr_config.warmup_iters": 200},
    "falls_at_once": {"lr_config.decay_from": 0.0},
    "batch_2": {"data.samples_per_gpu": 2},
    "batch_4": {"data.samples_per_gpu": 4},
    "cycle_ssim": {"model.cycle_ssim": 0.85},
    "cycle_features": {"model.cycle_features": 0.5},
    "fastcut": {"base": "../cut/fastcut_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"},
    "fastcut_skip": {
        "base": "../cut/fastcut_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py",
        "model.generator.global_skip": True,
    },
}
del projected
