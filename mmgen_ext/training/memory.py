"""What a training will need of memory, before it is started."""

from __future__ import annotations

from collections.abc import Mapping

import psutil
import torch
from mmcv import Config
from torch import nn

from ..config import is_ours
from ..models.fused import weights_cast_once
from ..models.precision import autocast
from .speed import make_fast

SIDE = 64  # of the pictures that are tried
# Gradients on their way, and gaps between blocks: measured at 64 to 256 pixels, batch 1 to 8.
OVERHEAD = 1.45


def kept_by_pass(model: nn.Module, channels: Mapping[str, int], side: int = SIDE) -> int:
    """Bytes that the backward of the generators' losses waits for, of one picture of each domain.

    Args:
        model: Our CycleGAN on the CPU, in training mode.
        channels: By domain.
        side: Of the pictures that are tried.
    """
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no other can have its address

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    real = {domain: torch.zeros(1, c, side, side) for domain, c in channels.items()}
    with (
        weights_cast_once(),
        autocast(model.precision, torch.device("cpu")),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        model._generator_pass(real)
    return sum(storage.nbytes() for storage in kept.values())


def estimate_peak(model: nn.Module, channels: Mapping[str, int], height: int, width: int,
                  batch: int) -> int:  # fmt: skip
    """Bytes of resident memory of a training on a CPU at its peak, about.

    Weights, gradients and two moments of each, and gradients of kernels in Winograd's form; what a
    pass keeps, which grows with the pixels; the libraries, as they are in this process now.

    Args:
        model: Our CycleGAN on the CPU, in training mode.
        channels: By domain.
        height: Of the pictures.
        width: Of the pictures.
        batch: Pictures of each domain in a pass.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    here = psutil.Process().memory_info().rss - weights
    # Two sizes, as 16-bit weights are kept too and do not grow with the pictures.
    small, large = (kept_by_pass(model, channels, side) for side in (SIDE, 2 * SIDE))
    grows = (large - small) / (3 * SIDE**2)
    fixed = small - grows * SIDE**2
    return int(here + 5 * weights + fixed + OVERHEAD * grows * height * width * batch)


def describe_memory_of(model: nn.Module, cfg: Config, sample: Mapping) -> str | None:
    """A line about the memory of a run; None for models that it cannot be said of.

    Args:
        model: Any model, on the CPU.
        cfg: The run's config.
        sample: Of its data set.
    """
    if not is_ours(cfg.model) or not all(
        getattr(network, "min_size", 2 * SIDE) <= SIDE for network in model.generators.values()
    ):
        return None
    device = torch.device("cpu")
    make_fast(model.train(), cfg, device)
    pictures = {domain: sample[f"img_{domain}"] for domain in model.real_domains}
    height, width = next(iter(pictures.values())).shape[1:]
    channels = {domain: picture.shape[0] for domain, picture in pictures.items()}
    batch = cfg.data.get("samples_per_gpu", 1)
    needed = estimate_peak(model, channels, height, width, batch) / 2**30
    return (
        f"memory: about {needed:.1f} GiB on a CPU, with {height} x {width} pixels, "
        f"{batch} of each domain in a pass, {model.precision}"
    )
