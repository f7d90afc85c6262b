"""Generators from trained weights: ours, mmgen's, the original authors' and others'."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmcv import Config
from mmgen.models.builder import build_module
from torch import nn

from ..checkpoint import EMA_PREFIX, averages_in, check_fit, read_checkpoint
from ..config import is_ours, load_config
from ..models.cyclegan import build_networks
from ..models.layers import check_choice
from . import mmgen_files
from .foreign import adopt, pair_of
from .zoo import domains_of, find_weights

WEIGHTS = ("auto", "raw", "ema")


class Trained(NamedTuple):
    """What a checkpoint says of its generators.

    Attributes:
        cfg: Config with `model`.
        generators: By target domain.
        normal: See `normalization`.
        weights: 'ema' if they are averages over the iterations, else 'raw'.
        iteration: Iterations done, where the file says so.
    """

    cfg: Config
    generators: nn.ModuleDict
    normal: tuple
    weights: str = "raw"
    iteration: int | None = None


def load_trained(
    config: str | os.PathLike | Config | None,
    checkpoint: str | os.PathLike,
    weights: str = "auto",
) -> Trained:
    """Config, generators and normalisation of trained weights.

    Args:
        config: Config file or Config; None or 'auto' for the one in the file, or what its tensors
            show if there is none.
        checkpoint: File, or a name of configs/cyclegan/metafile.yml, which is fetched once.
        weights: 'raw' for those of the last iteration, 'ema' for their averages, 'auto' for the
            averages if there are some.

    Raises:
        FileNotFoundError: If a file does not exist.
        OSError: If a file is not here and cannot be fetched.
        ValueError: If they do not fit, or describe nothing that can be built.
    """
    check_choice("weights", weights, WEIGHTS)
    path = find_weights(checkpoint)
    content = read_checkpoint(path)
    try:
        meta, ours = (content.get(key) or {} for key in ("meta", "mmgen_ext"))
        cfg, content = with_config(config, content, path, domains_of(checkpoint))
        # A published file holds one kind of weights and says which.
        found = ours.get("weights") or choose_weights(content, weights, str(path))
        if weights not in ("auto", found):
            raise ValueError(f"checkpoint {path} holds {found} weights alone; take --weights auto")
        averages = found == "ema" and "weights" not in ours
        generators = load_generators(cfg, content, str(path), "ema" if averages else "raw")
        iteration = meta.get("iter", ours.get("iteration"))
        return Trained(cfg, generators, normalization(cfg), found, iteration)
    except (ValueError, OSError):
        raise
    except Exception as error:  # A config in a checkpoint can hold anything.
        raise ValueError(
            f"checkpoint {path}: no generator can be built of its config and weights "
            f"({type(error).__name__}: {error})"
        ) from error


def with_config(
    config: str | os.PathLike | Config | None,
    content: Mapping,
    path: Path,
    domains: tuple[str, str] | None = None,
) -> tuple[Config, Mapping]:
    """Config of a file's generators, and the file's content under the names that it expects.

    Args:
        config: As in `load_trained`.
        content: What read_checkpoint returned.
        path: The file.
        domains: Its (A, B), the default target last, where they are known.

    Raises:
        ValueError: If there is neither a config nor a generator that is recognised.
    """
    old = mmgen_files.names_the_taken(content, path.name)
    if config not in (None, "auto"):
        cfg = config if isinstance(config, Config) else load_config(config)
        if old:
            pair = cfg.model.get("domains") or cfg.model.get("reachable_domains") or ("a", "b")
            if not is_ours(cfg.model):  # A config from before 0.3 names no domains.
                cfg.model.setdefault("reachable_domains", list(pair))
            content = mmgen_files.rename_by_made(content, pair, cfg)
        return cfg, content
    plain = (content.get("mmgen_ext") or {}).get("config")
    if plain is not None:
        if not isinstance(plain, Mapping) or not isinstance(plain.get("model"), Mapping):
            raise ValueError(f"the config in checkpoint {path} is damaged: it describes no model")
        return Config(dict(plain)), content
    theirs = mmgen_files.config_in_meta(content)
    if theirs and {"domains", "reachable_domains"} & set(theirs["model"]):
        if domains and domains[1] in theirs["model"].get("reachable_domains", ()):
            theirs["model"]["default_domain"] = domains[1]
        return Config(theirs), content
    if old:
        content = mmgen_files.rename_by_made(content, domains or pair_of(path) or ("a", "b"))
    model, state = adopt(content, path, domains)
    return Config(dict(model=model, test_pipeline=None)), {"state_dict": state}


def not_made(to: str, made: Sequence[str], model: Mapping) -> str:
    """What to say of a domain that a model does not make, but perhaps takes."""
    known = model.get("domains") or model.get("related_domains") or ()
    if to not in known:
        return f"unknown domain {to!r}; this model makes {', '.join(made)}"
    return (
        f"got the domain {to!r}; this model makes {', '.join(made)} alone. Take --to {made[0]}, or "
        f"a checkpoint with a generator of {to!r}: CUT is trained with model.default_domain={to}"
    )


def normalization(cfg: Config) -> tuple[np.ndarray, np.ndarray, bool]:
    """(mean, std, to_rgb) on the scale 0 to 1 that mmgen's Normalize in the test pipeline names."""
    for step in cfg.get("test_pipeline") or []:
        if step.get("type") == "Normalize":
            mean, std = (np.float32(step[key]) for key in ("mean", "std"))
            return mean, std, bool(step.get("to_rgb", False))
    half = np.float32([0.5])
    return half, half, False


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
    generator = _as_ours(model["generator"])
    return nn.ModuleDict({domain: build_module(generator) for domain in domains})


def _as_ours(generator: Mapping) -> dict:
    """Config of the same network of our layers, where there is one: those translate in strips."""
    generator = dict(generator)
    norms = ({"type": "IN"}, {"type": "IN", "affine": False}, {"type": "IN", "affine": True})
    norm = dict(generator.get("norm_cfg") or norms[0])
    if generator["type"] not in ("ResnetGenerator", "mmgen.ResnetGenerator") or norm not in norms:
        return generator
    generator.pop("norm_cfg", None), generator.pop("init_cfg", None)
    kind = "instance_affine" if norm.get("affine") else "instance"
    return {**generator, "type": "mmgen_ext.ResnetGenerator", "norm": kind}


def choose_weights(checkpoint: Mapping, weights: str, name: str) -> str:
    """'ema' or 'raw': what `weights` means for a checkpoint.

    Raises:
        ValueError: If averages are asked for and not there.
    """
    averaged = bool(averages_in(checkpoint.get("state_dict", checkpoint)))
    if weights == "ema" and not averaged:
        raise ValueError(
            f"checkpoint {name} holds no averaged weights: its training had no GeneratorEMAHook. "
            f"Take --weights raw"
        )
    return "ema" if averaged and weights != "raw" else "raw"


def load_generators(
    cfg: Config, checkpoint: Mapping, name: str, weights: str = "raw"
) -> nn.ModuleDict:
    """Build the generators that `cfg` describes and load a checkpoint's weights into them.

    Args:
        cfg: Config with `model`.
        checkpoint: What read_checkpoint returned.
        name: The checkpoint's, for errors.
        weights: 'raw' | 'ema'.

    Raises:
        ValueError: If the weights do not fit: with what differs.

    Returns:
        The generators that the checkpoint holds, keyed by target domain.
    """
    generators = build_generators(cfg.model)
    state = checkpoint.get("state_dict", checkpoint)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    prefix = EMA_PREFIX if weights == "ema" else "generators."
    state = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    # A published file holds one direction.
    there = {key.partition(".")[0] for key in state} & set(generators)
    generators = nn.ModuleDict({d: generators[d] for d in generators if d in there}) or generators
    check_fit(generators, state, name)
    generators.load_state_dict(state)
    return generators.eval()
