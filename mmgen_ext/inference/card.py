"""The model card of a published generator: what it is, where it comes from, what it is for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath

from ..files import tool
from .weights import Trained

LIMITS = """\
It changes colours, textures and brush work of whole pictures like those that it was trained on.
It does not know what a picture shows: other subjects, sizes and cameras than in training come out
worse, shapes stay as they are, and details can be invented. It is no evidence of how anything
looked."""
TO_COMPLETE = """\
- Training pictures: whose they are, and their licence
- License: not stated"""


def model_card(trained: Trained, to: str, file: Path, checkpoint: Path) -> str:
    """Markdown of what a checkpoint says of itself, and nothing of the machine.

    Args:
        trained: Of the checkpoint.
        to: Domain that is made.
        file: Published file.
        checkpoint: Where it was published from; figures of `metrics.json` beside it are told.
    """
    cfg, source = trained.cfg, _source(trained, to)
    call = f"{tool('translate')} auto {file.name} PICTURES"
    parts = {
        f"{source} to {to}": f"A {_kind(cfg.model)} generator. To use it: `{call}`",
        "Training": _list(_training(trained)),
        "Measured": _list(_figures(checkpoint, trained, to)) or "Not measured.",
        "Use and limits": LIMITS,
        "To be completed": TO_COMPLETE,
    }
    title, *rest = parts.items()
    text = f"# {title[0]}\n\n{title[1]}\n\n{_network(cfg.model.get('generator') or {})}\n"
    return text + "".join(f"\n## {name}\n\n{body}\n" for name, body in rest)


def _list(facts: Iterable[tuple[str, object]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts if value is not None)


def _source(trained: Trained, to: str) -> str:
    model = trained.cfg.model
    domains = model.get("domains") or model.get("reachable_domains") or ()
    return next((domain for domain in domains if domain != to), "pictures")


def _kind(model: Mapping) -> str:
    return str(model.get("type", "CycleGAN")).rpartition(".")[2]


def _network(generator: Mapping) -> str:
    """The architecture in one line."""
    shown = ("base_channels", "num_blocks", "num_down", "norm", "upsample")
    facts = [f"{key} {generator[key]}" for key in shown if generator.get(key) is not None]
    return ", ".join([f"Network: {generator.get('type', 'unknown')}", *facts])


def _training(trained: Trained) -> Iterable[tuple[str, object]]:
    """What the config and the checkpoint say of the training."""
    cfg = trained.cfg
    model, data = cfg.model, cfg.get("data") or {}
    root = cfg.get("data_root") or (data.get("train") or {}).get("data_root")
    # The last part alone: folders above it are of the machine.
    yield "data set", PureWindowsPath(root).name if root else None
    yield "iterations", trained.iteration
    yield "weights", "averaged over the iterations" if trained.weights == "ema" else "the last"
    yield "batch", data.get("samples_per_gpu")
    yield "cycle weight", model.get("cycle_weight")
    yield "identity weight", model.get("identity_weight")
    yield "contrastive weight", model.get("nce_weight")


def _figures(checkpoint: Path, trained: Trained, to: str) -> Iterable[tuple[str, object]]:
    """KID and FID of metrics.json beside the checkpoint, if they are of these weights."""
    try:
        found = json.loads(checkpoint.with_name("metrics.json").read_text("utf-8"))
        result = found["directions"][to]
        protocol = result["protocol"]
        same = protocol["iteration"] == trained.iteration and protocol["weights"] == trained.weights
        if not same or Path(found["checkpoint"]).name != checkpoint.name:
            return
        yield "KID", f"{result['kid']:.4f} +- {result['kid_std']:.4f}"
        yield "FID", f"{result['fid']:.2f}"
        yield "pictures", f"{protocol['num_source']} against {protocol['num_reference']}"
        yield "features", protocol["features"]
    except (OSError, ValueError, KeyError, TypeError):
        return
