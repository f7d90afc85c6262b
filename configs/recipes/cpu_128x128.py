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
        "base": "../cyclegan/cyclegan_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_horse2zebra.py",
        "domains": ["horse", "zebra"],
        "data_root": "horse2zebra",
        "model.default_domain": "zebra",
    },
}
seeds = [1, 2]
repeated = ["mmgen", "default"]  # what all others are compared with; they have the first seed alone
minutes = 12
iterations = 500
patchgan = {  # what the default was before it saw through a network
    "model.generator.last_activation": "tanh",
    "model.generator.smoothing": 0,
    "model.generator.semantics": 0,
    "model.source_negatives": 0.0,
    "model.discriminator_augment": None,
    "model.discriminator": dict(
        _delete_=True,
        type="mmgen_ext.PatchDiscriminator",
        base_channels=32,
        init_cfg=dict(type="normal", gain=0.02),
    ),
    "model.gan_loss.gan_type": "lsgan",
    "model.gan_loss.loss_weight": 1.0,
    "model.cycle_weight": 10.0,
    "optimizer.generators.lr": 2e-4,
    "optimizer.discriminators.lr": 2e-4,
    "data.train.pipeline.2.size": 128,
}
recipes = {
    "mmgen": "mmgen",
    "paper": {
        **patchgan,
        "model.generator.global_skip": False,
        "model.generator.upsample": "deconv",
        "model.cycle_beta": 0.0,
        "model.identity_weight": 5.0,
    },
    "patchgan": patchgan,
    "default": {},
    # The default but for one thing.
    "tanh": {"model.generator.last_activation": "tanh"},
    "no_skip": {"model.generator.global_skip": False, "model.generator.smoothing": 0},
    "deconv": {"model.generator.upsample": "deconv"},
    "subpixel": {"model.generator.upsample": "subpixel"},
    "blur": {"model.generator.downsample": "blur"},
    "no_ema": {"ema": None},
    "ema_0.99": {"ema.decay": 0.99},
    "beta_0": {"model.cycle_beta": 0.0},
    "identity_0.5": {"model.identity_weight": 0.5},
    "identity_5": {"model.identity_weight": 5.0},
    "identity_falls": {
        "model.identity_weight": 5.0,
        "loss_schedule": dict(identity_weight=dict(to=0.0, start=0.0, end=0.5)),
    },
    "lsgan": {"model.gan_loss.gan_type": "lsgan"},
    "vanilla": {"model.gan_loss.gan_type": "vanilla"},
    "r1": {"model.gan_loss.r1_weight": 1.0},
    "augment": {"model.discriminator_augment": "color,translation,cutout"},
    "no_augment": {"model.discriminator_augment": None},
    "no_semantics": {"model.generator.semantics": 0},
    "no_negatives": {"model.source_negatives": 0.0},
    "one_rate": {"optimizer.generators.lr": 2e-4, "optimizer.discriminators.lr": 2e-4},
    "warmup": {"lr_config.warmup": "linear", "lr_config.warmup_iters": 200},
    "falls_at_once": {"lr_config.decay_from": 0.0},
    "batch_2": {"data.samples_per_gpu": 2},
    "batch_4": {"data.samples_per_gpu": 4},
    "cycle_scale_4": {"model.cycle_scale": 4, "model.cycle_weight": 5.0},
    "cycle_ssim": {"model.cycle_ssim": 0.85},
    "cycle_features": {"model.cycle_features": 0.5},
    # `patchgan` but for one thing.
    "patchgan_spectral": {**patchgan, "model.discriminator.spectral_norm": True},
    "multiscale": {**patchgan, "model.discriminator.type": "mmgen_ext.MultiscaleDiscriminator"},
    "fastcut": {"base": "../cut/fastcut_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"},
    "fastcut_projected": {  # the default's generator and judges
        "base": "../cut/fastcut_hinge_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"
    },
}
del patchgan
