"""Generators from trained weights: checkpoints of ours and of mmgen's."""

from __future__ import annotations

from collections.abc import Mapping

from mmcv import Config
from mmgen.models.builder import build_module
from torch import nn

from ..checkpoint import check_fit
from ..config import is_ours
from ..models.cyclegan import build_networks


def build_generators(model: Mapping) -> nn.ModuleDict:
    """Build the generators of a `model` config, ours or mmgen's, keyed by target domain."""
    if is_ours(model) and "generator" in model:
        domains = model.get("domains", ("a", "b"))
        return build_networks(domains, model["generator"], None, model.get("channels"))[0]
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

    Returns:
        The generators that the checkpoint holds, keyed by target domain.
    """
    generators = build_generators(cfg.model)
    state = checkpoint.get("state_dict", checkpoint)
    prefix = "generators."
    state = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    # A published file holds one direction.
    there = {key.partition(".")[0] for key in state} & set(generators)
    generators = nn.ModuleDict({d: generators[d] for d in generators if d in there}) or generators
    check_fit(generators, state, name)
    generators.load_state_dict(state)
    return generators.eval()
