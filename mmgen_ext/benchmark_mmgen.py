"""mmgen's CycleGAN with the networks and losses of one of ours, to be measured beside it."""

from __future__ import annotations

from collections.abc import Mapping

from mmcv import Config

_NORMS = {"instance": "IN", "instance_affine": "IN", "batch": "BN"}


def mmgens_network(network: Mapping) -> dict:
    """Config of mmgen's network that equals one of ours with transposed convolutions."""
    network = {"in_channels": 3, **network}
    norm = network.pop("norm", "instance")
    for ours in ("upsample", "downsample", "recompute"):  # What mmgen has no word for.
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
    domains = list(model["domains"])
    networks = {}
    for name in ("generator", "discriminator"):
        norm, upsample = model[name].get("norm", "instance"), model[name].get("upsample", "deconv")
        kind, downsample = model[name]["type"], model[name].get("downsample", "stride")
        if (
            (upsample, downsample) != ("deconv", "stride")
            or norm not in ("instance", "batch")
            or kind == "mmgen_ext.MultiscaleDiscriminator"
        ):
            raise ValueError(
                f"mmgen has no {name} with upsample={upsample!r}, downsample={downsample!r} and "
                f"norm={norm!r} of type {kind} to compare "
                f"with; choose a config of the paper's networks"
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
