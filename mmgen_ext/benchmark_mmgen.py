"""mmgen's CycleGAN with the networks and losses of one of ours, to be measured beside it."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Mapping
from importlib.resources import files

from mmcv import Config

# Arguments of Python: mmgen's tools/train.py on the stack that `compat` has repaired.
MMGENS_TRAIN = ("-c", "from mmgen_ext import benchmark_mmgen as b; b.run_mmgens()")
# Arguments of networks that mmgen has no word for, and what it does.
ONLY_OURS = {
    "upsample": "deconv",
    "downsample": "stride",
    "global_skip": False,
    "smoothing": 0,
    "recolor": False,
    "last_activation": "tanh",
    "semantics": 0,
}
_NORMS = {"instance": "IN", "instance_affine": "IN", "batch": "BN"}


def mmgen_has(network: Mapping) -> bool:
    """Whether mmgen has a network of the layers of one of ours, whatever its norm."""
    kinds = ("ResnetGenerator", "UnetGenerator", "PatchDiscriminator")
    return network["type"].removeprefix("mmgen_ext.") in kinds and all(
        network.get(key, theirs) == theirs for key, theirs in ONLY_OURS.items()
    )


def mmgens_network(network: Mapping) -> dict:
    """Config of mmgen's network that equals one of ours with transposed convolutions."""
    network = {"in_channels": 3, **network}
    norm = network.pop("norm", "instance")
    for ours in (*ONLY_OURS, "recompute"):
        network.pop(ours, None)
    network["norm_cfg"] = dict(type=_NORMS[norm], affine=norm != "instance")
    network["type"] = network["type"].removeprefix("mmgen_ext.")
    return network


def mmgens_model(cfg: Config) -> dict:
    """Config of mmgen's CycleGAN with the networks and losses of ours.

    Raises:
        ValueError: If mmgen has no such networks.
    """
    model = cfg.model.to_dict()
    if model["type"] != "mmgen_ext.CycleGAN":
        raise ValueError(f"mmgen has no {model['type']} to compare with; choose a CycleGAN config")
    domains = list(model["domains"])
    networks = {}
    for name in ("generator", "discriminator"):
        norm = model[name].get("norm", "instance")
        if not mmgen_has(model[name]) or norm not in ("instance", "batch"):
            named = ("type", "norm", *ONLY_OURS)
            given = ", ".join(f"{k}={v!r}" for k, v in model[name].items() if k in named)
            raise ValueError(
                f"mmgen has no {name} with {given} to compare with; choose a config of the paper's "
                f"networks, as configs/cyclegan/*_paper.py"
            )
        networks[name] = mmgens_network(model[name])
    networks["generator"].setdefault("out_channels", 3)
    weights = {
        "cycle": ("cycle_loss", model.get("cycle_weight", 10.0)),
        "identity": ("id_loss", model.get("identity_weight", 5.0)),
    }
    losses = [
        dict(
            type="L1Loss",
            loss_weight=weight,
            loss_name=loss,
            data_info=dict(pred=f"{what}_{domain}", target=f"real_{domain}"),
            reduction="mean",
        )
        for what, (loss, weight) in weights.items()
        for domain in domains
        if weight
    ]
    return dict(
        type="CycleGAN",
        **networks,
        gan_loss=dict(type="GANLoss", gan_type="lsgan"),
        default_domain=domains[1],
        reachable_domains=domains,
        related_domains=domains,
        gen_auxiliary_loss=losses,
    )


def mmgens_training(cfg: Config, changes: Mapping) -> str:
    """A config of mmgen's own, the paper's CycleGAN, with the data and the size of ours.

    It crops to the size of testing, as it does, and its networks are as wide as our generators.

    Args:
        cfg: Config of ours: domains, data root, sizes of pictures and generators are taken.
        changes: What else is to be different.
    """
    base = files("mmgen") / ".mim" / "configs" / "cyclegan"
    text = (base / "cyclegan_lsgan_resnet_in_facades_b1x1_80k.py").read_text("utf-8")
    text = text.replace("'../_base_", f"'{(base.parent / '_base_').as_posix()}")
    train, test = (_sizes(cfg.data.get(name, {})) for name in ("train", "test"))
    resized = train["mmgen_ext.Resize"]
    cropped = test.get("mmgen_ext.Resize", train["mmgen_ext.RandomCrop"])
    for pattern, value in (
        ("domain_a = 'mask'", f"domain_a = {cfg.model.domains[0]!r}"),
        ("domain_b = 'photo'", f"domain_b = {cfg.model.domains[1]!r}"),
        ("dataroot = '.*'", f"dataroot = {str(cfg.data.train.data_root)!r}"),
        (r"scale=\(286, 286\)", f"scale=({resized}, {resized})"),
        (r"crop_size=\(256, 256\)", f"crop_size=({cropped}, {cropped})"),
    ):
        text = re.sub(pattern, lambda _, value=value: value, text)
    own = {
        network: {k: cfg.model.generator[k] for k in keys if k in cfg.model.generator}
        for network, keys in (
            ("generator", ("base_channels", "num_blocks")),
            ("discriminator", ("base_channels",)),
        )
    }
    extra = {"evaluation": None, "lr_config": None, **changes}
    lines = [f"{key} = {value!r}" for key, value in extra.items()]
    return "\n".join([text, f"model.update({own!r})", *lines])


def _sizes(data: Mapping) -> dict[str, int | None]:
    """Sizes that a data set's transforms name, by their types."""
    return {step["type"]: step.get("size") for step in data.get("pipeline", ())}


def run_mmgens() -> None:
    """Run mmgen's tools/train.py in this process with its arguments."""
    tool = str(files("mmgen") / ".mim" / "tools" / "train.py")
    sys.argv[0] = tool
    runpy.run_path(tool, run_name="__main__")
