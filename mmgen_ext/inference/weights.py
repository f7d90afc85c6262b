"""Generators from trained weights: checkpoints of ours and of mmgen's."""

from __future__ import annotations

from collections.abc import Mapping

from mmcv import Config
from mmgen.models.builder import build_module
from torch import nn

from ..models.cyclegan import build_networks


def build_generators(model: Mapping) -> nn.ModuleDict:
    """Build the generators of a `model` config, ours or mmgen's, keyed by target domain."""
    if model.get("domains") is not None:
        return build_networks(model["domains"], model["generator"], None, model.get("channels"))[0]
    domains = model.get("reachable_domains")
    if not domains or "generator" not in model:
        raise ValueError(
            f"model {model.get('type')!r} is no translation model: it names no `generator`, or no "
            f"`domains` or `reachable_domains`"
        )
    return nn.ModuleDict({domain: build_module(model["generator"]) for domain in domains})


def load_generators(cfg: Config, checkpoint: Mapping, name: str) -> nn.ModuleDict:
    """Build the generators that `cfg` describes and load a checkpoint's weights into them.

    Args:
        cfg: Config with `model`.
        checkpoint: What read_checkpoint returned.
        name: The checkpoint's, for errors.

    Raises:
        ValueError: If the weights do not fit: with what differs.
    """
    generators = build_generators(cfg.model)
    state = checkpoint.get("state_dict", checkpoint)
    prefix = "generators."
    state = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    check_fit(generators, state, name)
    generators.load_state_dict(state)
    return generators.eval()


def check_fit(network: nn.Module, state: Mapping, name: str) -> None:
    """Raise a ValueError that says which weights are missing, unknown or of another shape."""
    want = network.state_dict()
    other = [
        f"{k}: {tuple(state[k].shape)} in the checkpoint, {tuple(want[k].shape)} in the config"
        for k in want
        if k in state and state[k].shape != want[k].shape
    ]
    faults = []
    for title, keys in (
        ("missing in the checkpoint", [k for k in want if k not in state]),
        ("not in the config", [k for k in state if k not in want]),
        ("of another shape", other),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            faults.append(f"{len(keys)} {title}: {', '.join(keys[:3])}{more}")
    if faults:
        raise ValueError(
            f"checkpoint {name} does not fit the config's generators. {'; '.join(faults)}. "
            f"Use the config that it was trained with"
        )
