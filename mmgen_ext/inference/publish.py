"""Small files of trained generators and what translating needs, for those who only translate."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcv import Config
from torch import nn

from ..checkpoint import file_digest, write_checkpoint
from ..config import plain_data
from ..files import replacing
from .card import model_card
from .weights import Trained, load_trained, not_made


def publish(
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    to: str | None = None,
    config: str | os.PathLike | None = None,
) -> Path:
    """Write the generator of one direction and what translating with it needs, and nothing else.

    Beside it a model card is written, `NAME-1a2b3c4d.md`.

    Args:
        checkpoint: Trained checkpoint, ours or another's, or a name of metafile.yml.
        out: `NAME.pth` or `NAME.safetensors`; the beginning of the file's SHA-256 is put into its
            name, as OpenMMLab does: `NAME-1a2b3c4d.pth`.
        to: Domain that is made; None for the model's default.
        config: Config file; None for the one in the checkpoint, or what its tensors show.

    Returns:
        The file. Translator reads it with a config of None.

    Raises:
        ValueError: If the checkpoint is damaged or of no known kind, or has no such domain.
    """
    out = _check_suffix(out)
    trained = load_trained(config, checkpoint)
    cfg, generators = trained.cfg, trained.generators
    to = to or cfg.model.get("default_domain") or list(generators)[-1]
    if to not in generators:
        raise ValueError(not_made(to, list(generators), cfg.model))
    cfg.model["default_domain"] = to
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        _write(part, out.suffix, trained, {to: generators[to]}, Path(checkpoint).name)
        named = out.with_name(f"{out.stem}-{file_digest(part)[:8]}{out.suffix}")
        os.replace(part, named)
    finally:
        part.unlink(missing_ok=True)
    card = named.with_suffix(".md")
    # What someone has completed stays: the same name is the same file.
    if not card.exists():
        with replacing(card) as part:
            part.write_text(model_card(trained, to, named, Path(checkpoint)), "utf-8")
    return named


def convert(
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    to_domains: Sequence[str] | None = None,
    config: str | os.PathLike | None = None,
) -> list[str]:
    """Write all generators of a file in our layout.

    Args:
        checkpoint: As in `publish`.
        out: `NAME.pth` or `NAME.safetensors`, written or replaced.
        to_domains: New names of the domains that the generators make, in the order that a
            conversion without them returns.
        config: As in `publish`.

    Returns:
        The domains that can be made.

    Raises:
        ValueError: If the file is damaged or of no known kind, or the names do not fit.
    """
    out = _check_suffix(out)
    trained = load_trained(config, checkpoint)
    cfg, generators = trained.cfg, trained.generators
    made = list(generators)
    if to_domains is not None:
        if len(to_domains) != len(made) or len(set(to_domains)) < len(made):
            raise ValueError(
                f"got the domains {', '.join(to_domains)}; expected {len(made)} different "
                f"name{'s' if len(made) > 1 else ''}: this file makes {', '.join(made)}"
            )
        names = dict(zip(made, to_domains, strict=True))
        _rename(cfg, names)
        generators = {names[domain]: network for domain, network in generators.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as part:
        _write(part, out.suffix, trained, generators, Path(checkpoint).name)
    return list(generators)


def _check_suffix(out: str | os.PathLike) -> Path:
    out = Path(out)
    if out.suffix not in (".pth", ".safetensors"):
        raise ValueError(f"{out} ends in {out.suffix!r}; expected .pth or .safetensors")
    return out


def _rename(cfg: Config, names: Mapping[str, str]) -> None:
    """Give the domains of a config's model other names."""
    model = cfg.model
    for key in ("domains", "reachable_domains", "related_domains"):
        if model.get(key):
            model[key] = [names.get(domain, domain) for domain in model[key]]
            if len(set(model[key])) < len(model[key]):
                raise ValueError(f"two domains would be called alike: {', '.join(model[key])}")
    if model.get("channels"):
        model.channels = {names.get(d, d): count for d, count in model.channels.items()}
    if model.get("default_domain"):
        model.default_domain = names.get(model.default_domain, model.default_domain)


def _write(
    path: Path, suffix: str, trained: Trained, generators: Mapping[str, nn.Module], source: str
) -> None:
    """Write generators by domain, and the part of the config that translating needs."""
    # No paths, no optimizers, nothing of the machine it was trained on.
    keys = ("type", "generator", "domains", "reachable_domains", "related_domains", "channels")
    keys += ("default_domain",)
    cfg = trained.cfg
    model = {key: cfg.model[key] for key in keys if cfg.model.get(key) is not None}
    slim = dict(model=model, test_pipeline=cfg.get("test_pipeline"))
    ours = dict(config=plain_data(slim), source=source)
    ours |= dict(weights=trained.weights, iteration=trained.iteration)
    state = {
        key: value.contiguous()
        for domain, network in generators.items()
        for key, value in network.state_dict(prefix=f"generators.{domain}.").items()
    }
    if suffix == ".pth":
        write_checkpoint(path, dict(state_dict=state, mmgen_ext={**ours, "sealed": True}))
    else:
        from safetensors.torch import save

        path.write_bytes(save(state, {"format": "pt", "mmgen_ext": json.dumps(ours)}))
