"""A small file of one trained direction, for those who only translate."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from ..checkpoint import write_checkpoint
from ..config import plain_data
from .weights import load_trained


def publish(
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    to: str | None = None,
    config: str | os.PathLike | None = None,
) -> Path:
    """Write the generator of one direction and what translating with it needs, and nothing else.

    Args:
        checkpoint: Trained checkpoint, ours or mmgen's.
        out: `NAME.pth` or `NAME.safetensors`; the beginning of the file's SHA-256 is put into its
            name, as OpenMMLab does: `NAME-1a2b3c4d.pth`.
        to: Domain that is made; None for the model's default.
        config: Config file; None for the one in the checkpoint.

    Returns:
        The file. Translator reads it with a config of None.

    Raises:
        ValueError: If the checkpoint is damaged, or has no such domain or no config.
    """
    out = Path(out)
    if out.suffix not in (".pth", ".safetensors"):
        raise ValueError(f"{out} ends in {out.suffix!r}; expected .pth or .safetensors")
    cfg, generators, _ = load_trained(config, checkpoint)
    to = to or cfg.model.get("default_domain") or list(generators)[-1]
    if to not in generators:
        raise ValueError(f"unknown domain {to!r}; this model makes {', '.join(generators)}")
    # No paths, no optimizers, nothing of the machine it was trained on.
    keys = ("type", "generator", "domains", "reachable_domains", "related_domains", "channels")
    model = {key: cfg.model[key] for key in keys if cfg.model.get(key) is not None}
    slim = dict(model={**model, "default_domain": to}, test_pipeline=cfg.get("test_pipeline"))
    ours = dict(config=plain_data(slim), source=Path(checkpoint).name)
    weights = generators[to].state_dict(prefix=f"generators.{to}.")
    state = {key: value.contiguous() for key, value in weights.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        if out.suffix == ".pth":
            write_checkpoint(part, dict(state_dict=state, mmgen_ext={**ours, "sealed": True}))
        else:
            from safetensors.torch import save

            part.write_bytes(save(state, {"format": "pt", "mmgen_ext": json.dumps(ours)}))
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        named = out.with_name(f"{out.stem}-{digest[:8]}{out.suffix}")
        os.replace(part, named)
    finally:
        part.unlink(missing_ok=True)
    return named
