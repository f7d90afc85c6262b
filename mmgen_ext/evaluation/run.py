"""From a checkpoint to figures, and their file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import __version__
from ..config import load_config
from ..files import replacing
from ..inference.translator import Translator
from .evaluate import choose_directions, evaluate
from .features import Extractor
from .image_sets import Preparation, find_images
from .report import notes_on_few


def evaluate_checkpoint(
    config: str | os.PathLike | None,
    checkpoint: str | os.PathLike,
    to: str = "both",
    features: str = "lite0",
    features_weights: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    reference: str = "test",
    size: int | str | None = None,
    weights: str = "auto",
    batch_size: int = 1,
    device: str = "auto",
    precision: str = "auto",
    domains: Sequence[str] | None = None,
) -> tuple[dict[str, dict], list[str]]:
    """Evaluate the directions of a trained model.

    Args:
        config: See Translator.
        checkpoint: See Translator.
        to: Target domain, or 'both'.
        features: 'lite0' | 'inception'.
        features_weights: See Extractor.
        data_root: Folder with testA and testB; None for the config's.
        reference: 'test' | 'train': pictures of the target domain to compare with.
        size: Side of the squares that all pictures become, or 'native'; None for the config's.
        weights: See Translator.
        batch_size: Pictures translated at once.
        device: See Translator.
        precision: See Translator.
        domains: Names of the domains in testA and testB; None for the config's.

    Returns:
        Target domain to what `evaluate` returned, with `reference`, `checkpoint`, `precision` and
        `domains`, of testA and testB, in its protocol; and notes: what was left out,
        and whether the pictures are few.

    Raises:
        ValueError: If nothing can be evaluated: why.
        OSError: If a file is not there or cannot be fetched.
    """
    translator = Translator(config, checkpoint, device, precision, weights=weights)
    cfg = translator.cfg if config in (None, "auto") else load_config(config)
    sources, references = (
        find_images(cfg, split, data_root, domains) for split in ("test", reference)
    )
    if not any(sources.values()):
        where = data_root or "the folder that the config names, if it does"
        raise FileNotFoundError(
            f"no test pictures: expected testA and testB in {where}. Name their folder with "
            f"--data-root DIR"
        )
    directions, reasons = choose_directions(translator, sources, references, to)
    if not directions:
        raise next(iter(reasons.values()))
    notes = [f"not evaluated: translations to {d} ({e})" for d, e in reasons.items()]
    extractor = Extractor(features, translator.device, features_weights)
    if size is None:
        preparation = Preparation.of(cfg)
    else:
        preparation = Preparation(None if size == "native" else size)
    results = {}
    for domain in directions:
        found = evaluate(
            translator, sources, references, domain, extractor, preparation, batch_size
        )
        found["protocol"] |= dict(
            reference=reference,
            checkpoint=str(checkpoint),
            precision=precision,
            domains=list(sources),
        )
        results[domain] = found
    return results, notes + notes_on_few(results)


def write_metrics(
    out: str | os.PathLike | None, checkpoint: str | os.PathLike, results: Mapping[str, Mapping]
) -> Path:
    """Write the figures of an evaluation as JSON.

    Args:
        out: File to write or replace; None for metrics.json beside the checkpoint, or here if that
            is only a name.
        checkpoint: What was evaluated.
        results: Target domain to figures.
    """
    if out is None:
        beside = Path(checkpoint)
        out = beside.with_name("metrics.json") if beside.is_file() else Path("metrics.json")
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    content = dict(mmgen_ext=__version__, checkpoint=str(checkpoint), directions=results)
    with replacing(out) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return out
